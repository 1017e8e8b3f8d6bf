"""longodds: compute-optimal test-time strategies for execution-grounded code generation.

    import longodds as lo

    verdict = lo.evaluate("cpu/row_softmax_by_hand", Path("mine.py"))
    outcome = lo.best_of_n("runs/a", lo.BestOfNSettings(suite="cpu", k=8, max_tasks=4))
    comparison = lo.select("runs/a")

Names are resolved on first use, so that importing longodds loads neither torch nor anything that needs it.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# By text and not by import statements: this module is imported by rooms that must not import those above them.
_EXPORTS = {
    "BestOfNSettings": ("longodds.config", "BestOfNSettings"),
    "EvaluationSettings": ("longodds.config", "EvaluationSettings"),
    "RefineSettings": ("longodds.strategies.refine_settings", "RefineSettings"),
    "Reward": ("longodds.strategies.reward", "Reward"),
    "RLVRSettings": ("longodds.strategies.learning_settings", "RLVRSettings"),
    "RunDir": ("longodds.store", "RunDir"),
    "SDPOSettings": ("longodds.strategies.learning_settings", "SDPOSettings"),
    "Sample": ("longodds.types", "Sample"),
    "Status": ("longodds.types", "Status"),
    "TTTSettings": ("longodds.strategies.learning_settings", "TTTSettings"),
    "Task": ("longodds.types", "Task"),
    "Verdict": ("longodds.types", "Verdict"),
    "UserError": ("longodds.errors", "UserError"),
    "InfraError": ("longodds.errors", "InfraError"),
    "compare": ("longodds.strategies.comparing", "compare"),
    "best_of_n": ("longodds.strategies.best_of_n", "best_of_n"),
    "export_samples": ("longodds.store", "export_samples"),
    "import_samples": ("longodds.store", "import_samples"),
    "evaluate": ("longodds.strategies.evaluate", "evaluate_program"),
    "optimize": ("longodds.strategies.optimize", "optimize"),
    "open_learner": ("longodds.strategies.policies", "open_learner"),
    "open_policy": ("longodds.strategies.policies", "open_policy"),
    "load_suite": ("longodds.tasks", "load_suite"),
    "probe": ("longodds.strategies.probing", "probe"),
    "refine": ("longodds.strategies.refine", "refine"),
    "reward": ("longodds.strategies.reward", "reward"),
    "rlvr": ("longodds.strategies.adapt", "rlvr"),
    "reward_rows": ("longodds.strategies.reward", "reward_rows"),
    "sdpo": ("longodds.strategies.adapt", "sdpo"),
    "select": ("longodds.strategies.selecting", "select"),
    "ttt": ("longodds.strategies.adapt", "ttt"),
    "load_task": ("longodds.tasks", "load_task"),
}


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'longodds' has no attribute {name!r}")
    module, attribute = _EXPORTS[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(["__version__", *_EXPORTS])
