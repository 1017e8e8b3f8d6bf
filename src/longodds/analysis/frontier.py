"""Arms at matched cost: what each affords of a budget, who leads, and whether the data can tell.

A budget is per task and on one axis. The values of two arms are compared task by task, and tested from equally many
runs of K samples of each; the p-values of all pairs at one budget are adjusted together (Holm), because the leading arm
was found by looking.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from longodds.analysis.estimators import any_of_k, equivalent_k, expected_best
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


def matched_values(a: Curves, b: Curves, metric: str, ka: float, kb: float) -> tuple[Floats, Floats]:
    """(tasks,) values of two arms at K = ka and kb for a test that flips signs; the metric must be known of both.

    Signs may be flipped where equal arms would differ as often one way as the other. What a sequence reached (0 or 1)
    less an expectation over subsets is skewed, and so is one over all 16 samples there are less one over 16 of 64. So
    both arms get equally many runs of K: seeds of a sequence, and runs of Best-of-N in the order of drawing; two of
    Best-of-N are expectations over their first samples, equally many times K.
    """
    ka, kb = round(ka, 9), round(kb, 9)
    if a.exchangeable and b.exchangeable:
        times = min(a.n / ka, b.n / kb)
        return _from_first(a, metric, ka, times), _from_first(b, metric, kb, times)
    runs = min(_runs(a, ka), _runs(b, kb))
    return _from_runs(a, metric, ka, runs), _from_runs(b, metric, kb, runs)


def _runs(arm: Curves, k: float) -> int:
    """Runs of K samples that an arm has of every task."""
    return arm.n // math.ceil(k) if arm.exchangeable else min(len(seeds) for seeds in arm.drawn)


def _from_runs(arm: Curves, metric: str, k: float, runs: int) -> Floats:
    """(tasks,) the best of K, its mean over the first `runs` of them."""
    low, high = math.floor(k), math.ceil(k)
    found: list[Floats] = []
    for each, drawn in zip(_each(arm, metric), arm.drawn, strict=True):
        rows = [drawn[0][i * high :] for i in range(runs)] if arm.exchangeable else drawn[:runs]
        found.append(np.mean([[each[r[:n]].max() for n in (low, high)] for r in rows], axis=0))
    return _between_whole(np.stack(found), k)


def _from_first(arm: Curves, metric: str, k: float, times: float) -> Floats:
    """(tasks,) the best of K, its expectation over the subsets of the first `times` K samples."""
    low, high = math.floor(k), math.ceil(k)
    n = max(math.floor(times * k + ROUNDING), high)
    found: list[Floats] = []
    for each, drawn in zip(_each(arm, metric), arm.drawn, strict=True):
        first = each[drawn[0][:n]]
        share = metric != "expected_best_speedup"
        found.append(any_of_k(n, int(first.sum()), [low, high]) if share else expected_best(first, [low, high]))
    return _between_whole(np.stack(found), k)


def _each(arm: Curves, metric: str) -> list[Floats]:
    """By task, what each of its samples is worth."""
    values = [each[METRIC_TABLES[metric]] for each in arm.each]
    return [v for v in values if v is not None]


def _between_whole(values: Floats, k: float) -> Floats:
    """(tasks,) at K = k from those at the whole numbers about it, (tasks, 2)."""
    share = k - math.floor(k)
    return values[:, 0] * (1 - share) + values[:, 1] * share


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
    bought: dict[str, float] = {}
    for arm in arms:
        k = affordable(arm, axis, account, budget)
        value = None if k is None else value_at(arm, metric, k)
        best = None if k is None else value_at(arm, "expected_best_speedup", k)
        if k is not None and value is not None:
            values[arm.data.run], bought[arm.data.run] = value, k
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
    known = [a for a in arms if a.data.run in values]
    return {"budget": budget, "arms": rows, **_leader(known, values, bought, metric)}


def _leader(arms: Sequence[Curves], values: dict[str, Floats], bought: dict[str, float], metric: str) -> dict[str, Any]:
    """leading: highest mean; best: the leading one if it differs from every other, p adjusted for all pairs; tied:
    those it can't be told from, those among them that the tested samples put ahead of it."""
    if not values:
        return {"leading": None, "best": None, "tied": []}
    leading = max(values, key=lambda name: float(values[name].mean()))
    pairs = list(itertools.combinations(arms, 2))
    tests = [
        sign_flip_test(difference(*matched_values(a, b, metric, bought[a.data.run], bought[b.data.run])))
        for a, b in pairs
    ]
    behind: set[str] = set()
    for (a, b), (mean, _), p in zip(pairs, tests, holm([p for _, p in tests]), strict=True):
        if p < ALPHA and leading in (a.data.run, b.data.run) and (mean > 0) == (a.data.run == leading):
            behind |= {a.data.run, b.data.run}
    tied = [x for x in values if x != leading and x not in behind]
    return {"leading": leading, "best": leading if len(values) > 1 and not tied else None, "tied": tied}


def arm_tests(arms: Sequence[Curves], axis: str, metric: str) -> list[dict[str, Any]]:
    """Every pair at the common budget, charged; Holm's adjustment over the pairs, per metric and test."""
    budget = common_budget(arms, axis, "charged")
    rows: list[dict[str, Any]] = []
    for a, b in itertools.combinations(arms, 2):
        if budget is None:
            continue
        for name in (metric, "expected_best_speedup"):
            ka, kb = (affordable(x, axis, "charged", budget) or 1.0 for x in (a, b))
            va, vb = value_at(a, name, ka), value_at(b, name, kb)
            if va is not None and vb is not None:
                tested = difference(*matched_values(a, b, name, ka, kb))
                rows += _pair(a.data.run, b.data.run, name, va, vb, tested, {"axis": axis, "budget": budget})
    for key in {(r["metric"], r["test"]) for r in rows}:
        family = [r for r in rows if (r["metric"], r["test"]) == key]
        for row, p in zip(family, holm([r["p"] for r in family]), strict=True):
            row["p_adjusted"] = p
    return rows


def _pair(
    a: str, b: str, metric: str, va: Floats, vb: Floats, tested: Floats, more: dict[str, Any]
) -> list[dict[str, Any]]:
    """va, vb: the best estimates there are. tested: (tasks,) differences whose signs may be flipped."""
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
    bootstrap = Bootstrap(range(len(d)))
    # No ratio differs from 1 on any task: resampling can't tell how large one might be.
    interval = bootstrap.of_differences(d, (0.95,))[0] if share else bootstrap.interval(d) if d.any() else None
    p = sign_flip_test(tested)[1]
    positive, sign_p = sign_test(tested)
    rank_sum, rank_p = wilcoxon_test(tested)
    return [
        {**base, "test": "paired permutation", "statistic": float(d.mean()), "ci": interval, "p": p},
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
