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

from longodds.analysis.library import clopper_pearson, normal_cdf, student_quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

MIN_TASKS = 10
"""Below this many tasks an interval over tasks can't promise its coverage, and reports say so."""

DRAWS = 10_000


class Bootstrap:
    """Resampled means over cells, the draws made once and used for every figure of a study.

    tasks: (cells,) integer labels. The units that are drawn are the tasks, or the seeds if there is one task.
    """

    def __init__(self, tasks: ArrayLike, *, draws: int = DRAWS, seed: int = 0) -> None:
        _, self._unit = np.unique(np.asarray(tasks), return_inverse=True)
        self.units = int(self._unit.max()) + 1 if len(self._unit) else 0
        if self.units == 1:
            self._unit = np.arange(len(self._unit))
            self.units = len(self._unit)
        rng = np.random.default_rng(seed)
        cell = rng.integers(0, max(self.units, 1), size=(draws, self.units)) + self.units * np.arange(draws)[:, None]
        counts = np.bincount(cell.ravel(), minlength=draws * self.units).reshape(draws, self.units)
        self._drawn = counts.astype(np.float64)
        self._sizes = self._drawn @ np.bincount(self._unit, minlength=self.units)

    def means(self, values: ArrayLike) -> Floats:
        """(cells,) values -> (draws,) means."""
        sums = np.bincount(self._unit, np.asarray(values, dtype=np.float64), self.units)
        return (self._drawn @ sums) / self._sizes

    def interval(self, values: ArrayLike, *, level: float = 0.95, share: bool = False) -> tuple[float, float] | None:
        """Interval of the mean; None with fewer than two units to resample or a value missing (nan).

        share: the values are shares in [0, 1]. Where less than one task's worth of them is missing to 0 or to 1,
        resampling knows nothing of tasks of another kind, which no task of the study need be: a study of n tasks misses
        a kind that a share 1 - a^(1/n) of all tasks are of with chance a (Clopper-Pearson where all are 0 or all 1),
        and the interval reaches at least as far as if there were so many.
        """
        v = np.asarray(values, dtype=np.float64)
        if self.units < 2 or bool(np.isnan(v).any()):
            return None
        low, high = self._between(self.means(v), level)
        if share:
            mean, tail = float(v.mean()), ((1 - level) / 2) ** (1 / self.units)
            if mean >= 1 - 1 / self.units:
                low = min(low, tail * mean)
            if mean <= 1 / self.units:
                high = max(high, 1 - tail * (1 - mean))
        return low, high

    def intervals(self, values: ArrayLike, levels: Sequence[float]) -> list[tuple[float, float] | None]:
        """`interval` at several levels, resampled once."""
        v = np.asarray(values, dtype=np.float64)
        if self.units < 2 or bool(np.isnan(v).any()):
            return [None] * len(levels)
        means = self.means(v)
        return [self._between(means, level) for level in levels]

    def of_differences(self, values: ArrayLike, levels: Sequence[float]) -> list[tuple[float, float] | None]:
        """`intervals` of the mean of paired differences of shares.

        Few units that differ, or none, leave resampling next to no spread. Where each cell differs by -1, 0 or 1 the
        interval therefore reaches at least as far as the counts of units do: the Clopper-Pearson intervals of the
        shares that differ one way and the other, joined by square-and-add (Newcombe 1998, Statistics in Medicine 17).
        """
        v = np.asarray(values, dtype=np.float64)
        found = self.intervals(v, levels)
        if self.units < 2 or not bool(np.isin(v, (-1.0, 0.0, 1.0)).all()):
            return found
        units = np.bincount(self._unit, v, self.units) / np.bincount(self._unit, minlength=self.units)
        counts = [_from_counts(units, float(v.mean()), level) for level in levels]
        return [ci and (min(ci[0], c[0]), max(ci[1], c[1])) for ci, c in zip(found, counts, strict=True)]

    def _between(self, means: Floats, level: float) -> tuple[float, float]:
        alpha = expanded_alpha(self.units, level)
        low, high = np.quantile(means, [alpha, 1 - alpha])
        return float(low), float(high)

    def ratio_interval(
        self, values: ArrayLike, weights: ArrayLike, *, level: float = 0.95
    ) -> tuple[float, float] | None:
        """Interval of the weighted mean sum(w v) / sum(w); None as in `interval`, or where the weights can vanish."""
        v, w = np.asarray(values, dtype=np.float64), np.asarray(weights, dtype=np.float64)
        if self.units < 2 or bool(np.isnan(v).any() or (w <= 0).any()):
            return None
        return self._between(self.means(v * w) / self.means(w), level)


def _from_counts(units: Floats, mean: float, level: float) -> tuple[float, float]:
    n, up, down = len(units), float(np.maximum(units, 0).sum()), float(np.maximum(-units, 0).sum())
    (up_low, up_high), (down_low, down_high) = (clopper_pearson(x, n, level) for x in (up, down))
    below = math.hypot(up / n - up_low, down_high - down / n)
    above = math.hypot(up_high - up / n, down / n - down_low)
    return max(mean - below, -1.0), min(mean + above, 1.0)


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
    """`Bootstrap(tasks).interval(values)`, for one figure alone."""
    if np.size(values) < 2:
        return None
    return Bootstrap(tasks, draws=draws, seed=seed).interval(values, level=level, share=share)
