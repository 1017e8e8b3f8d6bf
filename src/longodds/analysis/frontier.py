"""Arms at matched cost: what each affords of a budget, who leads, and whether the data can tell.

A budget is per task and on one axis. The values of two arms are compared task by task; the p-values of all pairs at
one budget are adjusted together (Holm), because the leading arm was found by looking.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from longodds.analysis.estimators import equivalent_k
from longodds.analysis.hypotheses import cohens_h, holm, sign_flip_test, sign_test, wilcoxon_test
from longodds.analysis.null import ALPHA
from longodds.analysis.resampling import Bootstrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from longodds.analysis.arms import Curves

    Floats = NDArray[np.float64]

BUDGETS = 10
EQUIVALENT_DRAWS = 1000
ROUNDING = 1e-12
METRIC_TABLES = {"any_of_k": 0, "any_of_k_sig": 1, "expected_best_speedup": 2}


def table_of(arm: Curves, metric: str) -> Floats | None:
    """(tasks, g) values of a metric; expected logs for the best speedup."""
    return (arm.any_fast, arm.any_fast_sig, arm.best)[METRIC_TABLES[metric]]


def affordable(arm: Curves, axis: str, account: str, budget: float) -> float | None:
    """Samples per task that a budget buys, between whole numbers by interpolation; None below the first sample."""
    cost = arm.cost[account][axis]
    if bool(np.isnan(cost).any()) or budget < cost[0] * (1 - 1e-9):
        return None
    return float(np.interp(budget, cost, arm.grid))


def value_at(arm: Curves, metric: str, k: float) -> Floats | None:
    """(tasks,) values at K = k."""
    table = table_of(arm, metric)
    if table is None:
        return None
    at = int(np.clip(np.searchsorted(arm.grid, k, side="right") - 1, 0, len(arm.grid) - 1))
    if at == len(arm.grid) - 1:
        return table[:, at]
    share = (k - arm.grid[at]) / (arm.grid[at + 1] - arm.grid[at])
    return table[:, at] * (1 - share) + table[:, at + 1] * share


def difference(a: Floats, b: Floats) -> Floats:
    """(tasks,) a - b, without what interpolation leaves of equal numbers: tests of signs and ranks would count it."""
    d = a - b
    return np.where(np.abs(d) < ROUNDING, 0.0, d)


def known_axis(arms: Sequence[Curves], axis: str, account: str) -> bool:
    """Whether every arm's cost is known on this axis and grows with K."""
    return all(bool(np.isfinite(c := a.cost[account][axis]).all()) and float(c[-1]) > 0 for a in arms)


def common_budget(arms: Sequence[Curves], axis: str, account: str) -> float | None:
    """The most that every arm can spend; None where one's first sample costs more than another has spent in all."""
    if not known_axis(arms, axis, account):
        return None
    most = min(float(a.cost[account][axis][-1]) for a in arms)
    return most if most >= max(float(a.cost[account][axis][0]) for a in arms) * (1 - 1e-9) else None


def frontier(arms: Sequence[Curves], axis: str, account: str, metric: str) -> list[dict[str, Any]]:
    """`FrontierRow`s at up to `BUDGETS` budgets, evenly spaced in the logarithm, with the common one among them."""
    if not known_axis(arms, axis, account):
        return []
    low = max(min(float(a.cost[account][axis][0]) for a in arms), 1e-12)
    high = max(float(a.cost[account][axis][-1]) for a in arms)
    budgets = set(np.geomspace(low, high, BUDGETS).tolist()) if high > low else {high}
    if axis == "samples":
        budgets = {float(k) for k in 2 ** np.arange(0, math.log2(high) + 1e-9)} | {high}
    if (common := common_budget(arms, axis, account)) is not None:
        budgets.add(common)
    return [_row(arms, axis, account, metric, b) for b in sorted(budgets)]


def _row(arms: Sequence[Curves], axis: str, account: str, metric: str, budget: float) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    values: dict[str, Floats] = {}
    for arm in arms:
        k = affordable(arm, axis, account, budget)
        value = None if k is None else value_at(arm, metric, k)
        best = None if k is None else value_at(arm, "expected_best_speedup", k)
        if value is not None:
            values[arm.data.run] = value
        rows.append(
            {
                "run": arm.data.run,
                "k": k,
                "value": None if value is None else float(value.mean()),
                "ci": None if value is None else Bootstrap(range(len(value))).interval(value, share=True),
                "expected_best_speedup": None if best is None else math.exp(float(best.mean())),
                "exhausted": k is not None and k >= arm.n and budget > arm.cost[account][axis][-1] * (1 + 1e-9),
            }
        )
    return {"budget": budget, "arms": rows, **_leader(values)}


def _leader(values: dict[str, Floats]) -> dict[str, Any]:
    """leading: highest mean; best: the leading one if it differs from every other, p adjusted for all pairs; tied:
    those it can't be told from."""
    if not values:
        return {"leading": None, "best": None, "tied": []}
    leading = max(values, key=lambda name: float(values[name].mean()))
    pairs = list(itertools.combinations(values, 2))
    p = [sign_flip_test(difference(values[a], values[b]))[1] for a, b in pairs]
    adjusted = dict(zip(pairs, holm(p), strict=True))
    tied = [x for x in values if x != leading and adjusted.get((leading, x), adjusted.get((x, leading), 1.0)) >= ALPHA]
    return {"leading": leading, "best": leading if len(values) > 1 and not tied else None, "tied": tied}


def arm_tests(arms: Sequence[Curves], axis: str, metric: str) -> list[dict[str, Any]]:
    """Every pair at the common budget, charged; Holm's adjustment over the pairs, per metric and test."""
    budget = common_budget(arms, axis, "charged")
    rows: list[dict[str, Any]] = []
    for a, b in itertools.combinations(arms, 2):
        if budget is None:
            continue
        for name in (metric, "expected_best_speedup"):
            va, vb = (value_at(x, name, affordable(x, axis, "charged", budget) or 1.0) for x in (a, b))
            if va is not None and vb is not None:
                rows += _pair(a.data.run, b.data.run, name, va, vb, {"axis": axis, "budget": budget})
    for key in {(r["metric"], r["test"]) for r in rows}:
        family = [r for r in rows if (r["metric"], r["test"]) == key]
        for row, p in zip(family, holm([r["p"] for r in family]), strict=True):
            row["p_adjusted"] = p
    return rows


def _pair(a: str, b: str, metric: str, va: Floats, vb: Floats, more: dict[str, Any]) -> list[dict[str, Any]]:
    d = difference(va, vb)
    share = metric != "expected_best_speedup"
    effect = cohens_h(float(va.mean()), float(vb.mean())) if share else math.exp(float(d.mean()))
    base = {
        "a": a,
        "b": b,
        "metric": metric,
        "effect": effect,
        "effect_name": "Cohen's h" if share else "ratio",
        **more,
    }
    interval = Bootstrap(range(len(d))).interval(d)
    estimate, p = sign_flip_test(d)
    positive, sign_p = sign_test(d)
    rank_sum, rank_p = wilcoxon_test(d)
    return [
        {**base, "test": "paired permutation", "statistic": estimate, "ci": interval, "p": p},
        {**base, "test": "wilcoxon", "statistic": rank_sum, "p": rank_p},
        {**base, "test": "sign", "statistic": positive, "p": sign_p},
    ]


def equivalents(arm: Curves, baseline: Curves, *, seed: int = 0) -> dict[str, Any]:
    """The K of the baseline that reaches this arm's value at its end, per metric, with a 95 % interval over tasks."""
    out: dict[str, Any] = {}
    rng = np.random.default_rng(seed)
    for metric in METRIC_TABLES:
        mine, theirs = table_of(arm, metric), table_of(baseline, metric)
        if mine is None or theirs is None:
            out[metric], out[f"{metric}_ci"] = None, None
            continue
        ks = [int(k) for k in baseline.grid]
        out[metric] = equivalent_k(ks, theirs.mean(axis=0), float(mine[:, -1].mean()))
        n = len(mine)
        drawn = rng.integers(0, n, size=(EQUIVALENT_DRAWS, n))
        found = [equivalent_k(ks, theirs[d].mean(axis=0), float(mine[d, -1].mean())) for d in drawn]
        out[f"{metric}_ci"] = _between(found) if n > 1 else None
    return out


def _between(found: Sequence[float | str | None]) -> list[float | str]:
    ordered = sorted(0.0 if k == "<1" else math.inf if k is None or isinstance(k, str) else float(k) for k in found)
    ends = (ordered[round(0.025 * (len(ordered) - 1))], ordered[round(0.975 * (len(ordered) - 1))])
    return ["<1" if e == 0.0 else ">n" if math.isinf(e) else e for e in ends]
