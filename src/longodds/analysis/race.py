"""A race: which of several correct programs is fastest, for as few timed pairs as that takes.

All candidates are timed a little; those that can't be the fastest any more are dropped; the others are timed twice as
long, and so on (sequential elimination, Maron & Moore 1994). Bounds are Student's t around the median at a level shared
over looks and candidates (Bonferroni), so that the true fastest is dropped in at most `ALPHA` of races.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from longodds.analysis.library import normal_quantile, student_quantile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LOOKS = (8, 16, 32, 64)
ALPHA = 0.05
TOLERANCE = math.log(1.01)
"""Survivors that are this close to each other are as good as equal: the race is over."""

MEDIAN_EFFICIENCY = math.sqrt(math.pi / 2)
"""Standard error of a median over that of a mean, for normal noise."""

Draw = Callable[["NDArray[np.intp]", int], "Floats"]
"""(candidates, count) -> the first `count` log ratios of reference time and own time of each, (candidates, count)."""


@dataclass(frozen=True, slots=True)
class Finish:
    """winner: index of the candidate with the best median among the survivors; pairs: timed pairs of all candidates
    together."""

    winner: int
    pairs: int


def race(draw: Draw, candidates: int) -> Finish:
    """Runs one race among candidates 0 .. n-1. A single one has won without a pair. Raises ValueError for none."""
    if candidates < 1:
        raise ValueError("a race needs a candidate")
    alive = np.arange(candidates)
    if candidates == 1:
        return Finish(0, 0)
    pairs, seen = 0, 0
    location = np.zeros(candidates)
    for look in LOOKS:
        pairs += len(alive) * (look - seen)
        seen = look
        quantile = student_quantile(1 - ALPHA / (2 * len(LOOKS) * candidates), look - 1)
        location[alive], half = _bounds(draw(alive, look), quantile)
        best = int(np.argmax(location[alive]))
        gap = location[alive[best]] - location[alive]
        room = np.hypot(half, half[best])
        room[best] = 0.0
        kept = gap <= room
        undecided = gap[kept] + room[kept]
        alive = alive[kept]
        if len(alive) == 1 or float(undecided.max()) <= TOLERANCE:
            break
    return Finish(int(alive[np.argmax(location[alive])]), pairs)


def _bounds(values: Floats, quantile: float) -> tuple[Floats, Floats]:
    """(medians, half widths) of the rows: the spread is the median absolute deviation's, which a few bad pairs don't
    move."""
    median = np.median(values, axis=1)
    spread = 1.4826 * np.median(np.abs(values - median[:, None]), axis=1)
    return median, quantile * MEDIAN_EFFICIENCY * spread / math.sqrt(values.shape[1])


def modelled_pairs(speedup: Floats, ci_low: Floats, ci_high: Floats, pairs: Floats, rng: np.random.Generator) -> Floats:
    """(c, 64) log ratios as normal noise around the stored medians, for verdicts that keep no single pairs.

    The standard deviation is what the stored 99 % interval of that many pairs implies; as the interval also holds the
    spread between processes, it is rather too wide, and the race rather too long. nan where there is no interval.
    """
    with np.errstate(divide="ignore"):
        half = (np.log(ci_high) - np.log(ci_low)) / 2
    half = np.where(np.isinf(half), 0.0, half)  # a clear loser has no limits: it stays where it was seen
    sd = half * np.sqrt(np.maximum(pairs, 1)) / (normal_quantile(0.995) * MEDIAN_EFFICIENCY)
    return np.log(speedup)[:, None] + sd[:, None] * rng.standard_normal((len(speedup), LOOKS[-1]))
