from longodds.config import BestOfNSettings as BestOfNSettings
from longodds.errors import InfraError as InfraError
from longodds.errors import UserError as UserError
from longodds.store import RunDir as RunDir
from longodds.strategies import best_of_n as best_of_n
from longodds.strategies import evaluate_program as evaluate
from longodds.strategies.optimize import optimize as optimize
from longodds.strategies.selecting import select as select
from longodds.tasks import load_suite as load_suite
from longodds.tasks import load_task as load_task
from longodds.types import Sample as Sample
from longodds.types import Status as Status
from longodds.types import Task as Task
from longodds.types import Verdict as Verdict

__version__: str
__all__ = [
    "BestOfNSettings",
    "InfraError",
    "RunDir",
    "Sample",
    "Status",
    "Task",
    "UserError",
    "Verdict",
    "__version__",
    "best_of_n",
    "evaluate",
    "load_suite",
    "load_task",
    "optimize",
    "select",
]
