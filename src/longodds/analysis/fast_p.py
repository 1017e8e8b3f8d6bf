"""`fast_p` at several p, suite by suite: KernelBench's figure, and the same decided on lower bounds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from longodds.analysis.estimators import fast_flags

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from longodds.analysis.pool import TaskPool

THRESHOLDS = (0.5, 0.8, 1.0, 1.05, 1.2, 1.5, 2.0)


def suite_of(task_id: str) -> str:
    """`kernelbench:1` of `kernelbench:1/4`; a `file:` is a suite of its own."""
    return task_id if task_id.startswith("file:") or "/" not in task_id else task_id.rpartition("/")[0]


def fast_p_table(tasks: Sequence[TaskPool]) -> list[dict[str, Any]]:
    """One row per suite (a level of KernelBench is one): `{"suite", "n_tasks", "n_samples", "correct", "fast_p"}`.

    correct: share of samples. fast_p: for each p the share of samples that are correct with a point speedup above p
    (Ouyang et al., KernelBench, 2025), and `fast_p_sig`, with a lower bound above p; incorrect samples stay in the
    denominator. nan where a correct sample was not timed, or has no interval.
    """
    suites: dict[str, list[TaskPool]] = {}
    for task in tasks:
        suites.setdefault(suite_of(task.task_id), []).append(task)
    return [_row(suite, held) for suite, held in sorted(suites.items())]


def _row(suite: str, tasks: Sequence[TaskPool]) -> dict[str, Any]:
    correct = np.concatenate([t.correct for t in tasks])
    speedup = np.concatenate([t.speedup for t in tasks])
    ci_low = np.concatenate([t.ci_low for t in tasks])
    return {
        "suite": suite,
        "n_tasks": len(tasks),
        "n_samples": len(correct),
        "correct": float(correct.mean()) if len(correct) else math.nan,
        "fast_p": [
            {"p": p, "fast_p": _share(correct, speedup, p), "fast_p_sig": _share(correct, ci_low, p)}
            for p in THRESHOLDS
        ],
    }


def _share(correct: NDArray[np.bool_], bound: NDArray[np.float64], p: float) -> float:
    flags = fast_flags(correct, bound, p)
    return float(flags.mean()) if len(flags) else math.nan
