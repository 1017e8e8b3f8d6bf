"""Intervals over tasks: a hierarchical bootstrap, calibrated for the small numbers of tasks that studies have.

Tasks are drawn with replacement, and a drawn task brings all its seeds. Drawing the seeds with replacement as well
would count their noise twice (Davison & Hinkley 1997, section 3.8). A single task has only its seeds to resample.
Percentiles are widened as if by Student's t (the expanded percentile interval of Hesterberg 2015,
doi:10.1080/00031305.2015.1089789), because plain percentiles of 20 tasks cover 93 %, not 95 %.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from longodds.analysis.library import normal_cdf, student_quantile

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

MIN_TASKS = 10
"""Below this many tasks an interval over tasks can't promise its coverage, and reports say so."""

DRAWS = 10_000


def bootstrap_means(values: ArrayLike, tasks: ArrayLike, *, draws: int = DRAWS, seed: int = 0) -> tuple[Floats, int]:
    """Resampled means over cells. values: (cells,) or (cells, m); tasks: (cells,) integer labels.

    Returns ((draws,) or (draws, m), number of units that were resampled: tasks, or seeds if there is one task).
    """
    v = np.asarray(values, dtype=np.float64)
    flat = v.reshape(len(v), -1)
    _, unit = np.unique(np.asarray(tasks), return_inverse=True)
    count = int(unit.max()) + 1 if len(unit) else 0
    if count == 1:
        unit, count = np.arange(len(flat)), len(flat)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(count, np.full(count, 1.0 / count), size=draws).astype(np.float64)
    sums = np.zeros((count, flat.shape[1]))
    np.add.at(sums, unit, flat)
    sizes = np.bincount(unit, minlength=count).astype(np.float64)
    means = (drawn @ sums) / (drawn @ sizes)[:, None]
    return means.reshape((draws, *v.shape[1:])), count


def expanded_alpha(units: int, level: float) -> float:
    """One-sided tail whose percentile of the bootstrap distribution gives a two-sided interval of that level."""
    t = student_quantile(0.5 + level / 2, units - 1)
    return normal_cdf(-math.sqrt(units / (units - 1)) * t)


def mean_interval(
    values: ArrayLike,
    tasks: ArrayLike,
    *,
    level: float = 0.95,
    share: bool = False,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Interval of the mean over cells; None with fewer than two units to resample or a value missing (nan).

    share: the values are shares in [0, 1]. If every task has the same share, 0 or 1, resampling would answer with
    an interval of width 0; the exact (Clopper-Pearson) interval for that many tasks is given instead.
    """
    v = np.asarray(values, dtype=np.float64)
    if len(v) < 2 or bool(np.isnan(v).any()):
        return None
    means, units = bootstrap_means(v, tasks, draws=draws, seed=seed)
    if share and bool((v == v[0]).all()) and v[0] in (0.0, 1.0):
        tail = ((1 - level) / 2) ** (1 / units)
        return (0.0, 1 - tail) if v[0] == 0.0 else (tail, 1.0)
    alpha = expanded_alpha(units, level)
    low, high = np.quantile(means, [alpha, 1 - alpha])
    return float(low), float(high)
