from longodds.config import BestOfNSettings as BestOfNSettings
from longodds.config import EvaluationSettings as EvaluationSettings
from longodds.errors import InfraError as InfraError
from longodds.errors import UserError as UserError
from longodds.store import RunDir as RunDir
from longodds.store import export_samples as export_samples
from longodds.store import import_samples as import_samples
from longodds.strategies.adapt import rlvr as rlvr
from longodds.strategies.adapt import sdpo as sdpo
from longodds.strategies.adapt import ttt as ttt
from longodds.strategies.best_of_n import best_of_n as best_of_n
from longodds.strategies.comparing import compare as compare
from longodds.strategies.evaluate import evaluate_program as evaluate
from longodds.strategies.learning_settings import RLVRSettings as RLVRSettings
from longodds.strategies.learning_settings import SDPOSettings as SDPOSettings
from longodds.strategies.learning_settings import TTTSettings as TTTSettings
from longodds.strategies.optimize import optimize as optimize
from longodds.strategies.policies import open_learner as open_learner
from longodds.strategies.policies import open_policy as open_policy
from longodds.strategies.probing import probe as probe
from longodds.strategies.refine import refine as refine
from longodds.strategies.refine_settings import RefineSettings as RefineSettings
from longodds.strategies.reward import Reward as Reward
from longodds.strategies.reward import reward as reward
from longodds.strategies.reward import reward_rows as reward_rows
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
    "EvaluationSettings",
    "InfraError",
    "RLVRSettings",
    "RefineSettings",
    "Reward",
    "RunDir",
    "SDPOSettings",
    "Sample",
    "Status",
    "TTTSettings",
    "Task",
    "UserError",
    "Verdict",
    "__version__",
    "best_of_n",
    "compare",
    "evaluate",
    "export_samples",
    "import_samples",
    "load_suite",
    "load_task",
    "open_learner",
    "open_policy",
    "optimize",
    "probe",
    "refine",
    "reward",
    "reward_rows",
    "rlvr",
    "sdpo",
    "select",
    "ttt",
]
