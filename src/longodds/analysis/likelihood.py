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

from longodds.analysis.hypotheses import sign_flip_test
from longodds.analysis.library import normal_cdf, rank
from longodds.analysis.resampling import Bootstrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

    Columns = tuple[Floats, Floats, Floats]
    """surprisal, speedup, length in tokens of the correct, timed candidates of one task, each (n,). No two of them may
    be copies of one program: the p-values take them as independent."""


POOLED_ALPHA = 0.02


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


def combined_interval(rhos: Sequence[float], weights: Sequence[float]) -> tuple[float, float] | None:
    """95 % interval over tasks of the combined correlation; None with fewer than two tasks that have one."""
    kept = [(r, w) for r, w in zip(rhos, weights, strict=True) if not math.isnan(r) and w > 0]
    if len(kept) < 2:
        return None
    return Bootstrap(range(len(kept))).ratio_interval([r for r, _ in kept], [w for _, w in kept])


def likelihood_summary(tasks: Sequence[Columns], *, bins: int = 4) -> dict[str, Any]:
    """Within-task Spearman of surprisal and speedup, plain and given length, pooled ones, and the profile.

    The document `Likelihood` of `longodds.analysis.documents`.
    """
    rhos = [spearman(s, v) for s, v, _ in tasks]
    partials = [partial_spearman(s, v, n) for s, v, n in tasks]
    lengths = [spearman(n, v) for _, v, n in tasks]
    sizes = [len(s) for s, _, _ in tasks]
    plain, given = [n - 1 for n in sizes], [n - 2 for n in sizes]
    rho, p = combine(rhos, plain)
    partial, partial_p = combine(partials, given)
    pooled, pooled_p = _pooled([(s, v) for s, v, _ in tasks])
    standardised, _ = _pooled([(_standardise(s), _standardise(np.log(v))) for s, v, _ in tasks])
    profile, trend = quantile_profile(tasks, bins=bins)
    return {
        "tasks": sum(not math.isnan(r) for r in rhos),
        "candidates": sum(sizes),
        "rho": rho,
        "rho_ci": combined_interval(rhos, plain),
        "p": p,
        "rho_given_length": partial,
        "rho_given_length_ci": combined_interval(partials, given),
        "p_given_length": partial_p,
        "rho_length_speedup": combine(lengths, plain)[0],
        "pooled_rho": pooled,
        "pooled_p": pooled_p,
        "pooled_standardised_rho": standardised,
        "warning": simpson(rho, p, pooled, pooled_p),
        "profile": profile,
        "monotone": monotone(profile),
        "trend": trend,
    }


def simpson(rho: float, p: float, pooled: float, pooled_p: float) -> str | None:
    """What to say where the pooled correlation tells another story than the one inside tasks (Simpson's paradox)."""
    if math.isnan(rho) or math.isnan(pooled):
        return None
    if pooled * rho < 0:
        return "the pooled correlation has the opposite sign of the one within tasks: differences between tasks made it"
    if pooled_p < POOLED_ALPHA <= p:
        return (
            "the pooled correlation looks significant, the one within tasks is not: differences between tasks made it"
        )
    if p < POOLED_ALPHA <= pooled_p:
        return "there is a correlation within tasks that pooling hides: tasks differ in surprisal and speedup"
    return None


def _pooled(tasks: Sequence[tuple[Floats, Floats]]) -> tuple[float, float]:
    """(Spearman over all candidates at once, its p as if they were independent)."""
    if not tasks:
        return math.nan, math.nan
    x, y = (np.concatenate([t[i] for t in tasks]) for i in (0, 1))
    rho = spearman(x, y)
    return rho, 2 * normal_cdf(-abs(rho) * math.sqrt(max(len(x) - 1, 0)))


def _standardise(values: Floats) -> Floats:
    spread = float(values.std()) if len(values) else 0.0
    return (values - values.mean()) / spread if spread > 0 else np.zeros(len(values))


def quantile_profile(tasks: Sequence[Columns], *, bins: int = 4) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """(rows, trend): share faster than 1 and geometric mean speedup per within-task quantile of surprisal, from low.

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
    trend = profile_trend(np.array(share, dtype=np.float64).reshape(len(share), bins))
    if not share:
        return [], trend
    bootstrap = Bootstrap(range(len(share)))
    rows: list[dict[str, Any]] = []
    for b in range(bins):
        column, logs = [s[b] for s in share], [s[b] for s in speed]
        interval = bootstrap.interval(logs)
        rows.append(
            {
                "quantile": b + 1,
                "tasks": len(column),
                "surprisal": float(np.mean([n[b] for n in nats])),
                "fast_1": float(np.mean(column)),
                "ci": bootstrap.interval(column, share=True),
                "geomean_speedup": math.exp(float(np.mean(logs))),
                "geomean_speedup_ci": interval and (math.exp(interval[0]), math.exp(interval[1])),
            }
        )
    return rows, trend


def profile_trend(share: Floats) -> dict[str, Any]:
    """Slope and hill of a profile, (tasks, bins) shares: the document `Trend`.

    Two contrasts per task, tested over tasks by sign flips: a monotone profile has a slope and no hill; the likelihood
    trap (the best in the middle) has a hill. A single slope coefficient could not tell the two apart.
    """
    bins = share.shape[1]
    centred = np.arange(bins) - (bins - 1) / 2
    outer = np.zeros(bins)
    outer[[0, -1]] = 0.5
    inner = np.where(outer == 0, 1.0 / max(bins - 2, 1), 0.0)
    out: dict[str, Any] = {}
    bootstrap = Bootstrap(range(len(share))) if len(share) > 1 else None
    for name, weights in (("linear", centred / (centred @ centred)), ("hill", inner - outer)):
        values = share @ weights
        out[name] = float(values.mean()) if len(values) else math.nan
        out[f"{name}_ci"] = bootstrap.interval(values) if bootstrap else None
        out[f"{name}_p"] = sign_flip_test(values)[1] if len(values) else math.nan
    return out


def monotone(profile: Sequence[dict[str, Any]]) -> bool | None:
    """Whether the share of fast candidates never turns round from one quantile to the next; None without a profile."""
    steps = [b["fast_1"] - a["fast_1"] for a, b in itertools.pairwise(profile)]
    return (all(s >= 0 for s in steps) or all(s <= 0 for s in steps)) if steps else None
