"""Strategies: the only room that sees both a policy and an evaluator."""

from __future__ import annotations

from longodds.strategies.best_of_n import Outcome, best_of_n
from longodds.strategies.estimate import Estimate, estimate
from longodds.strategies.evaluate import Certified, certify_evaluator, evaluate_program
from longodds.strategies.logprobs import logprob_report
from longodds.strategies.opening import isolation_layers, open_settings_evaluator, open_settings_policy
from longodds.strategies.planning import TimePlan, choose_tasks, parse_time
from longodds.strategies.progress import Progress, Silent

__all__ = [
    "Certified",
    "Estimate",
    "Outcome",
    "Progress",
    "Silent",
    "TimePlan",
    "best_of_n",
    "certify_evaluator",
    "choose_tasks",
    "estimate",
    "evaluate_program",
    "isolation_layers",
    "logprob_report",
    "open_settings_evaluator",
    "open_settings_policy",
    "parse_time",
]
