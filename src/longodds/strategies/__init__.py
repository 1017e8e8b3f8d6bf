"""Strategies: the only room that sees both a policy and an evaluator."""

from __future__ import annotations

from longodds.strategies.best_of_n import Outcome, best_of_n
from longodds.strategies.estimate import Estimate, estimate
from longodds.strategies.opening import isolation_layers, open_settings_evaluator, open_settings_policy
from longodds.strategies.planning import TimePlan, choose_tasks, parse_time
from longodds.strategies.progress import Progress, Silent

__all__ = [
    "Estimate",
    "Outcome",
    "Progress",
    "Silent",
    "TimePlan",
    "best_of_n",
    "choose_tasks",
    "estimate",
    "isolation_layers",
    "open_settings_evaluator",
    "open_settings_policy",
    "parse_time",
]
