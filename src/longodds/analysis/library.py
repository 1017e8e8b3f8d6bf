# pyright: basic
"""SciPy's functions with types: SciPy ships none, and the rest of this room is checked strictly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import special, stats

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


def gammaln(x: ArrayLike) -> Floats:
    """log Gamma(x)."""
    return np.asarray(special.gammaln(x), dtype=np.float64)


def normal_cdf(x: float) -> float:
    """P(Z <= x), Z standard normal."""
    return float(special.ndtr(x))


def normal_quantile(p: float) -> float:
    """x with P(Z <= x) = p."""
    return float(special.ndtri(p))


def student_quantile(p: float, df: float) -> float:
    """x with P(T <= x) = p for Student's t."""
    return float(special.stdtrit(df, p))


def student_p(t: float, df: float) -> float:
    """Two-sided p of Student's t."""
    return 2 * float(special.stdtr(df, -abs(t)))


def clopper_pearson(successes: float, n: int, level: float) -> tuple[float, float]:
    """Exact two-sided interval of a share; of counts between whole numbers (means over seeds) by the same formula."""
    tail, x = (1 - level) / 2, successes
    low = float(special.betaincinv(x, n - x + 1, tail)) if x > 0 else 0.0
    return low, float(special.betaincinv(x + 1, n - x, 1 - tail)) if x < n else 1.0


def wilcoxon(differences: Floats, *, exact: bool) -> tuple[float, float]:
    """Signed-rank statistic and two-sided p of nonzero differences."""
    result = np.asarray(stats.wilcoxon(differences, method="exact" if exact else "asymptotic"), dtype=np.float64)
    return float(result[0]), float(result[1])


def binomial_p(successes: int, n: int) -> float:
    """Exact two-sided p of a fair coin."""
    return float(stats.binomtest(successes, n).pvalue)


def rank(values: ArrayLike) -> Floats:
    """Ranks from 1, ties share their mean. (SciPy's, without the cost of its generality.)"""
    v = np.asarray(values, dtype=np.float64)
    order = np.argsort(v, kind="stable")
    ordered = v[order]
    first = np.append(True, ordered[1:] != ordered[:-1])[: len(v)]
    start = np.flatnonzero(first)
    mean = (start + np.append(start[1:], len(v)) + 1) / 2
    ranks = np.empty(len(v))
    ranks[order] = mean[np.cumsum(first) - 1]
    return ranks
