"""Estimators and statistics of finished runs: no files, no printing."""

from longodds.analysis.estimators import any_of_k, equivalent_k, expected_best, expected_top_m, fast_p
from longodds.analysis.resampling import MIN_TASKS
from longodds.analysis.select import headline, select_runs

__all__ = [
    "MIN_TASKS",
    "any_of_k",
    "equivalent_k",
    "expected_best",
    "expected_top_m",
    "fast_p",
    "headline",
    "select_runs",
]
