"""Unbiased closed forms for "what would K samples have given", from n >= K samples of one task.

All of them average over every K-subset of the n samples at once (the subset is drawn without replacement), so
nothing is drawn and nothing depends on a seed. Shapes: `values` and flags are (n,), `ks` is (j,), results are (j,).
Sources: Chen et al. 2021 (arXiv:2107.03374) for the hypergeometric any-of-k; the others are the same counting
argument applied to order statistics, and are checked against enumeration of all subsets in the tests.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from longodds.analysis.library import gammaln

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


def fast_p(correct: ArrayLike, speedup: ArrayLike, p: float = 1.0) -> float:
    """Share of samples that are correct and have speedup > p. Incorrect ones stay in the denominator.

    nan if there is no sample, or if a correct one was not timed (nan), since its answer is not known.
    """
    return float(np.mean(fast_flags(correct, speedup, p))) if np.size(correct) else math.nan


def fast_flags(correct: ArrayLike, bound: ArrayLike, p: float = 1.0) -> Floats:
    """1.0 where correct and bound > p, 0.0 elsewhere, nan where correct but not measured. `bound` is the point
    speedup for `fast_p`, the interval's lower end for `fast_p_sig`."""
    right = np.asarray(correct, dtype=bool)
    value = np.asarray(bound, dtype=np.float64)
    flags = np.where(right & (value > p), 1.0, 0.0)
    return np.where(right & np.isnan(value), math.nan, flags)


def log_binomial(n: ArrayLike, k: ArrayLike) -> Floats:
    """log C(n, k), -inf where k < 0 or k > n (no such subset)."""
    a, b = np.broadcast_arrays(np.asarray(n, dtype=np.float64), np.asarray(k, dtype=np.float64))
    inside = (b >= 0) & (b <= a)
    safe_n, safe_k = np.where(inside, a, 0.0), np.where(inside, b, 0.0)
    value = gammaln(safe_n + 1) - gammaln(safe_k + 1) - gammaln(safe_n - safe_k + 1)
    return np.where(inside, value, -np.inf)


def any_of_k(n: int, fast: int, ks: Sequence[int]) -> Floats:
    """Probability that a random K-subset of n samples holds at least one of the `fast` ones: 1 - C(n-f,K)/C(n,K).

    Raises ValueError for K outside 1..n: beyond n there is no unbiased estimate.
    """
    _check_ks(n, ks)
    i = np.arange(max(ks, default=1), dtype=np.float64)
    miss = np.cumprod(np.maximum(n - fast - i, 0.0) / (n - i), dtype=np.float64)
    return 1.0 - miss[np.asarray(ks, dtype=np.intp) - 1]


def expected_best(values: ArrayLike, ks: Sequence[int]) -> Floats:
    """Mean over all K-subsets of the largest value: sum_i v_(i) C(i-1, K-1) / C(n, K), v ascending."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    n = len(ordered)
    _check_ks(n, ks)
    k = np.asarray(ks, dtype=np.float64)[:, None]
    rank = np.arange(n, dtype=np.float64)[None, :]
    weights = np.exp(log_binomial(rank, k - 1) - log_binomial(n, k))
    return weights @ ordered


def expected_top_m(values: ArrayLike, n: int, ks: Sequence[int], *, m: int = 1, empty: float = 0.0) -> Floats:
    """Mean over all K-subsets of n samples of: the largest value among the m best-scored correct ones present.

    values: (c,) of the correct samples, best score first; the other n - c samples are incorrect.
    empty: what a subset without a correct sample counts. For m = 1 this is the expected value of the selector's
    choice: the r-th best is chosen when it is present and the r-1 better ones are not, C(n-r, K-1) / C(n, K).
    For larger m: the m-th best present has rank r, the others are any m-1 of the r-1 better ones.
    """
    v = np.asarray(values, dtype=np.float64)
    c = len(v)
    _check_ks(n, ks)
    k = np.asarray(ks, dtype=np.float64)[:, None]
    total = log_binomial(n, k)
    out = empty * np.exp(log_binomial(n - c, k) - total)[:, 0]
    for j in range(1, min(m - 1, c) + 1):  # exactly j < m correct ones are present: all of them are taken
        weight = np.exp(log_binomial(c, j) + log_binomial(n - c, k - j) - total)[:, 0]
        out = out + weight * expected_best(v, [j])[0]
    if c >= m:
        rank = np.arange(m, c + 1, dtype=np.float64)[None, :]
        weight = np.exp(log_binomial(rank - 1, m - 1) + log_binomial(n - rank, k - m) - total)
        out = out + weight @ _mean_max_with_better(v, m)
    return out


def _mean_max_with_better(v: Floats, m: int) -> Floats:
    """For each r = m..c: mean over the (m-1)-subsets A of the r-1 better-scored of max(v_r, max A); shape (c-m+1,)."""
    if m == 1:
        return v
    c = len(v)
    if bool(((v == 0) | (v == 1)).all()):  # flags: the best is 0 only where v_r and all of A are
        slow = np.append(0.0, np.cumsum(1 - v))[m - 1 : c]
        none = np.exp(log_binomial(slow, m - 1) - log_binomial(np.arange(m - 1, c), m - 1))
        return 1 - (1 - v[m - 1 :]) * none
    log_ways = log_binomial(np.arange(c), m - 2)  # the i-th smallest (from 0) is the largest of A in C(i, m-2) ways
    log_subsets = log_binomial(np.arange(c), m - 1)
    out = np.empty(c - m + 1)
    for r in range(m, c + 1):
        better = np.maximum(np.sort(v[: r - 1]), v[r - 1])
        out[r - m] = np.exp(log_ways[: r - 1] - log_subsets[r - 1]) @ better
    return out


def expected_random_m(values: ArrayLike, n: int, ks: Sequence[int], *, m: int = 1, empty: float = 0.0) -> Floats:
    """As `expected_top_m`, but the m are drawn at random among the correct ones present (exact expectation)."""
    v = np.asarray(values, dtype=np.float64)
    c = len(v)
    _check_ks(n, ks)
    k = np.asarray(ks, dtype=np.float64)[:, None]
    present = np.arange(c + 1, dtype=np.float64)[None, :]
    weight = np.exp(log_binomial(c, present) + log_binomial(n - c, k - present) - log_binomial(n, k))
    mean_max = np.full(c + 1, empty)
    if c:
        top = expected_best(v, list(range(1, min(m, c) + 1)))
        mean_max[1:] = top[np.minimum(np.arange(1, c + 1), m) - 1]
    return weight @ mean_max


def equivalent_k(ks: Sequence[int], curve: ArrayLike, target: float) -> float | str | None:
    """The K at which a curve first reaches `target`, linear in log2 K between its points.

    "<1" below the first point (K = 1), ">n" where no K reaches it, None where there is no curve or no target.
    """
    y = np.asarray(curve, dtype=np.float64)
    if not len(y) or math.isnan(target) or bool(np.isnan(y).any()):
        return None
    y = np.maximum.accumulate(y)  # it falls at K = n where a winner that is measured again is not faster
    if target < y[0]:
        return "<1"
    if target > y[-1]:
        return ">n"
    x = np.log2(np.asarray(ks, dtype=np.float64))
    at = int(np.searchsorted(y, target, side="left"))
    if at == 0 or y[at] == target:
        return float(2 ** x[at])
    share = (target - y[at - 1]) / (y[at] - y[at - 1])
    return float(2 ** (x[at - 1] + share * (x[at] - x[at - 1])))


def prefix_best(values: ArrayLike) -> Floats:
    """Best so far along the last axis, (..., n) -> (..., n): the curve of an arm whose samples are not exchangeable
    (ttt, refine, search), for which no subset but the prefix could have been drawn."""
    return np.maximum.accumulate(np.asarray(values, dtype=np.float64), axis=-1)


def k_grid(n: int) -> list[int]:
    """1, 2, 4, ... and n itself."""
    ks = [2**i for i in range(n.bit_length()) if 2**i <= n]
    return ks if not n or ks[-1] == n else [*ks, n]


def dense_grid(n: int) -> NDArray[np.intp]:
    """Every K to 32, then steps of about a tenth, the powers of two among them, and n."""
    ks = {k for k in range(1, min(n, 32) + 1)} | set(k_grid(n))
    k = 32.0
    while k < n:
        k *= 1.1
        ks.add(min(round(k), n))
    return np.array(sorted(ks), dtype=np.intp)


def _check_ks(n: int, ks: Sequence[int]) -> None:
    if any(k < 1 or k > n for k in ks):
        raise ValueError(f"K must lie in 1..{n}, got {list(ks)}")
