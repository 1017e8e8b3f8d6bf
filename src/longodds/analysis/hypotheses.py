"""Tests of "is a better than b", paired over cells, and what the design could have seen."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from longodds.analysis import library

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

EXACT_FLIPS = 18
FLIPS = 20_000


def poisson_binomial(q: ArrayLike) -> Floats:
    """Distribution of the number of successes of independent trials with probabilities q: (n,) -> (n+1,)."""
    pmf = np.ones(1)
    for p in np.asarray(q, dtype=np.float64):
        pmf = np.convolve(pmf, [1.0 - p, p])
    return pmf


def two_sided(pmf: Floats, observed: int) -> float:
    """Twice the smaller tail, both tails with the observed value, at most 1."""
    upper = float(pmf[observed:].sum())
    lower = float(pmf[: observed + 1].sum())
    return min(1.0, 2 * min(upper, lower))


def sign_flip_test(differences: ArrayLike) -> tuple[float, float]:
    """Paired permutation of two strategies: (mean difference, two-sided p). Exact for few nonzero differences.

    Under the null either strategy could have made either choice of a cell, so each difference may change sign.
    """
    d = np.asarray(differences, dtype=np.float64)
    mean = float(d.mean()) if len(d) else math.nan
    d = d[d != 0]
    if not len(d):
        return mean, 1.0
    observed = abs(float(d.sum())) * (1 - 1e-12)
    if len(d) <= EXACT_FLIPS:
        sums = np.zeros(1)
        for value in d:
            sums = np.concatenate([sums + value, sums - value])
        return mean, float(np.mean(np.abs(sums) >= observed))
    bits = np.frombuffer(np.random.default_rng(0).bytes(FLIPS * -(-len(d) // 8)), dtype=np.uint8)
    flipped = np.unpackbits(bits.reshape(FLIPS, -1), axis=1, count=len(d)).astype(np.float64)
    beyond = int((np.abs(float(d.sum()) - 2 * (flipped @ d)) >= observed).sum())
    return mean, (beyond + 1) / (FLIPS + 1)


def permutation_p(observed: float, null: Floats) -> float:
    """Two-sided p of a statistic against draws of its null distribution: twice the smaller tail, with the usual +1."""
    slack = 1e-9 * max(1.0, float(np.abs(null).max()))
    upper = int((null >= observed - slack).sum())
    lower = int((null <= observed + slack).sum())
    return min(1.0, 2 * (min(upper, lower) + 1) / (len(null) + 1))


def wilcoxon_test(differences: ArrayLike) -> tuple[float, float]:
    """Wilcoxon signed-rank: (statistic, two-sided p); zeros are dropped, and nothing left gives p = 1."""
    d = np.asarray(differences, dtype=np.float64)
    d = d[d != 0]
    if not len(d):
        return 0.0, 1.0
    tied = len(np.unique(np.abs(d))) < len(d)
    return library.wilcoxon(d, exact=len(d) <= 50 and not tied)


def sign_test(differences: ArrayLike) -> tuple[int, float]:
    """Exact sign test: (number of positive differences, two-sided p); zeros are dropped."""
    d = np.asarray(differences, dtype=np.float64)
    positive, n = int((d > 0).sum()), int((d != 0).sum())
    return positive, library.binomial_p(positive, n) if n else 1.0


def cohens_h(a: float, b: float) -> float:
    """Effect size of two shares: 2 asin sqrt(a) - 2 asin sqrt(b). Source: Cohen 1988, chapter 6."""
    return 2 * math.asin(math.sqrt(min(max(a, 0.0), 1.0))) - 2 * math.asin(math.sqrt(min(max(b, 0.0), 1.0)))


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given (Holm 1979)."""
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    adjusted = [1.0] * len(ps)
    largest = 0.0
    for step, i in enumerate(order):
        largest = max(largest, min(1.0, (len(ps) - step) * ps[i]))
        adjusted[i] = largest
    return adjusted


def minimum_detectable_effect(
    q: ArrayLike, *, cells: ArrayLike | None = None, alpha: float = 0.02, power: float = 0.8
) -> float | None:
    """Smallest gain in the share of fast cells that the permutation test of `alpha` sees with that power.

    q: (units,) chance that a random choice is fast, 0 for cells without a correct candidate. cells: (units,) how many
    cells share a unit's luck, 1 each unless told. The alternative shifts the odds of every unit by one factor. None if
    no gain could be significant: too few cells with a choice to make. Exact up to bisection: both distributions are
    Poisson-binomial, units taken as independent.
    """
    base = np.asarray(q, dtype=np.float64)
    tail = np.cumsum(poisson_binomial(base)[::-1])[::-1]
    significant = np.flatnonzero(2 * tail < alpha)
    if not len(significant):
        return None
    critical = int(significant[0])

    def shifted(log_odds: float) -> Floats:
        grown = base * math.exp(log_odds)
        return grown / (1 - base + grown)

    def reached(log_odds: float) -> bool:
        return float(poisson_binomial(shifted(log_odds))[critical:].sum()) >= power

    low, high = 0.0, 30.0
    if not reached(high):
        return None
    weights = None if cells is None else np.asarray(cells, dtype=np.float64)
    return float(np.average(shifted(_bisect(reached, low, high)) - base, weights=weights))


def _bisect(true_above: Callable[[float], bool], low: float, high: float) -> float:
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if true_above(middle) else (middle, high)
    return high
