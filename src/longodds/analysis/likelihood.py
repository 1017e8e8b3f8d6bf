"""Does improbable mean fast? Rank correlation within tasks, given length, and a profile over quantiles.

Everything is computed inside a task and then combined, because tasks differ in both surprisal and speedup, and a
pooled correlation answers another question (Simpson's paradox). The pooled figure is given beside it, with a
warning where the two disagree.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from longodds.analysis.library import normal_cdf, rank
from longodds.analysis.resampling import Bootstrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

    Columns = tuple[Floats, Floats, Floats]
    """surprisal, speedup, length in tokens of the correct, timed candidates of one task, each (n,)."""


def spearman(x: ArrayLike, y: ArrayLike) -> float:
    """Rank correlation, ties by mean rank; nan if either is constant or fewer than 3 points."""
    return _correlation(rank(x), rank(y)) if np.size(x) >= 3 else math.nan


def partial_spearman(x: ArrayLike, y: ArrayLike, given: ArrayLike) -> float:
    """Rank correlation of x and y after taking out of both ranks a straight line in the rank of `given`.

    (r_xy - r_xz r_yz) / sqrt((1 - r_xz^2)(1 - r_yz^2)); the plain one if `given` is constant; nan below 4 points or
    where `given` determines x or y.
    """
    if np.size(x) < 4:
        return math.nan
    rx, ry, rz = rank(x), rank(y), rank(given)
    xy, xz, yz = _correlation(rx, ry), _correlation(rx, rz), _correlation(ry, rz)
    if bool((rz == rz[0]).all()) or math.isnan(xy):
        return xy
    left = (1 - xz**2) * (1 - yz**2)
    return (xy - xz * yz) / math.sqrt(left) if left > 1e-12 else math.nan


def _correlation(x: Floats, y: Floats) -> float:
    a, b = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else math.nan


def combine(rhos: Sequence[float], weights: Sequence[float]) -> tuple[float, float]:
    """(weighted mean, two-sided p) of per-task correlations, nan ones left out.

    With weight = degrees of freedom = 1 / variance under the null, z = sum(w rho) / sqrt(sum w).
    """
    kept = [(r, w) for r, w in zip(rhos, weights, strict=True) if not math.isnan(r) and w > 0]
    if not kept:
        return math.nan, math.nan
    total = sum(w for _, w in kept)
    weighted = sum(r * w for r, w in kept)
    return weighted / total, 2 * normal_cdf(-abs(weighted) / math.sqrt(total))


def likelihood_summary(tasks: Sequence[Columns], *, bins: int = 4) -> dict[str, Any]:
    """Within-task Spearman of surprisal and speedup, plain and given length, the pooled one, and the profile."""
    rhos = [spearman(s, v) for s, v, _ in tasks]
    partials = [partial_spearman(s, v, n) for s, v, n in tasks]
    lengths = [spearman(n, v) for _, v, n in tasks]
    sizes = [len(s) for s, _, _ in tasks]
    rho, p = combine(rhos, [n - 1 for n in sizes])
    partial, partial_p = combine(partials, [n - 2 for n in sizes])
    by_length, _ = combine(lengths, [n - 1 for n in sizes])
    known = [i for i, r in enumerate(rhos) if not math.isnan(r)]
    pooled = (
        spearman(np.concatenate([t[0] for t in tasks]), np.concatenate([t[1] for t in tasks])) if tasks else math.nan
    )
    warning = None
    if not math.isnan(pooled) and not math.isnan(rho) and pooled * rho < 0:
        warning = (
            "the pooled correlation has the opposite sign of the one within tasks: differences between tasks made it"
        )
    return {
        "tasks": len(known),
        "candidates": sum(sizes),
        "rho": rho,
        "rho_ci": Bootstrap(known).interval([rhos[i] for i in known]) if len(known) > 1 else None,
        "p": p,
        "rho_given_length": partial,
        "p_given_length": partial_p,
        "rho_length_speedup": by_length,
        "pooled_rho": pooled,
        "warning": warning,
        "profile": quantile_profile(tasks, bins=bins),
    }


def quantile_profile(tasks: Sequence[Columns], *, bins: int = 4) -> list[dict[str, Any]]:
    """Share faster than 1 and geometric mean speedup per within-task quantile of surprisal, lowest first.

    Candidates are ranked inside their task; a task with fewer than `bins` candidates has no quantiles and is left
    out. Figures are means over tasks, with an interval over tasks.
    """
    share: list[list[float]] = []
    speed: list[list[float]] = []
    nats: list[list[float]] = []
    for surprisal, speedup, _ in tasks:
        if len(surprisal) < bins:
            continue
        order = np.argsort(surprisal, kind="stable")
        parts = np.array_split(order, bins)
        share.append([float((speedup[p] > 1).mean()) for p in parts])
        speed.append([float(np.log(speedup[p]).mean()) for p in parts])
        nats.append([float(surprisal[p].mean()) for p in parts])
    if not share:
        return []
    bootstrap = Bootstrap(range(len(share)))
    rows: list[dict[str, Any]] = []
    for b in range(bins):
        column = [s[b] for s in share]
        rows.append(
            {
                "quantile": b + 1,
                "tasks": len(column),
                "surprisal": float(np.mean([n[b] for n in nats])),
                "fast_1": float(np.mean(column)),
                "ci": bootstrap.interval(column, share=True),
                "geomean_speedup": math.exp(float(np.mean([s[b] for s in speed]))),
            }
        )
    return rows


def monotone(profile: Sequence[dict[str, Any]]) -> bool | None:
    """Whether the share of fast candidates never turns round from one quantile to the next; None without a profile."""
    steps = [b["fast_1"] - a["fast_1"] for a, b in itertools.pairwise(profile)]
    return (all(s >= 0 for s in steps) or all(s <= 0 for s in steps)) if steps else None
