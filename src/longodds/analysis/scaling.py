"""What K samples give, for every K: any-of-K, the expected best speedup, and each strategy at that K.

Per task over the pooled samples of its seeds (one policy wrote them, so any K of them could have been the K), then
averaged over tasks with an interval over tasks. K ends at the smallest pool, so that no task drops out on the way.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from longodds.analysis.estimators import (
    any_of_k,
    expected_best,
    expected_random_m,
    expected_top_m,
    fast_flags,
    k_grid,
)
from longodds.analysis.library import normal_quantile
from longodds.analysis.resampling import Bootstrap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from longodds.analysis.pool import Pools, TaskPool

    Floats = NDArray[np.float64]

LEVEL = 0.01
KEPT_REFERENCE = 1.0
"""Speedup of a subset without a correct sample, or whose best is slower: one keeps the reference."""

CURVES: dict[str, tuple[str, int]] = {
    "random": ("random", 1),
    "most-confident": ("confident", 1),
    "surprisal": ("surprising", 1),
    "surprisal-top3": ("surprising", 3),
    "confident-top3": ("confident", 3),
    "random-top3": ("random", 3),
}


def bound_at_level(speedup: Floats, ci_low: Floats, candidates: int, *, given: int = 1) -> Floats:
    """Lower bounds at 1 % divided by the number of a task's distinct candidates, from the stored ones, which are at 1 %
    divided by `given`.

    The interval is widened on the log scale by z(1 - 0.005 / candidates) / z(1 - 0.005 / given), a normal
    approximation.
    """
    quantiles = [normal_quantile(1 - LEVEL / (2 * max(m, 1))) for m in (max(candidates, given), given)]
    factor = quantiles[0] / quantiles[1]
    with np.errstate(divide="ignore", invalid="ignore"):  # a lower bound of 0 stays one
        found = np.exp(np.log(speedup) - factor * (np.log(speedup) - np.log(ci_low)))
    return np.where(speedup == 0, 0.0, found)


def scaling_curve(pools: Pools, *, seed: int = 0) -> list[dict[str, Any]]:
    """Rows of `k`, `any_of_k` (and `_sig`, and at 1.05), their intervals, and the expected best speedup.

    Figures that need timings or intervals which are missing are None. Empty where samples of a task are of several
    steps.
    """
    if pools.steps > 1:
        return []
    n = min(t.n for t in pools.tasks)
    ks = sorted({*k_grid(n), min(n, pools.k)})
    columns: dict[str, Floats | None] = {}
    for p in (1.0, 1.05):
        suffix = "" if p == 1.0 else f"_{p:g}"
        columns[f"any_of_k{suffix}"] = _per_task(pools, ks, [fast_flags(t.correct, t.speedup, p) for t in pools.tasks])
        columns[f"any_of_k{suffix}_sig"] = (
            _per_task(
                pools,
                ks,
                [fast_flags(t.correct, bounds_of(t), p) for t in pools.tasks],
            )
            if pools.has_intervals
            else None
        )
        decide_by_winners(columns[f"any_of_k{suffix}_sig"], pools.tasks, ks, p)
    best = _best_speedups(pools, ks)
    bootstrap = Bootstrap(range(len(pools.tasks)), seed=seed)
    rows: list[dict[str, Any]] = []
    for j, k in enumerate(ks):
        row: dict[str, Any] = {"k": k}
        for name, table in columns.items():
            row[name] = None if table is None else float(table[:, j].mean())
            row[f"{name}_ci"] = None if table is None else bootstrap.interval(table[:, j], share=True)
        row["expected_best_speedup"] = None if best is None else math.exp(float(np.log(best[:, j]).mean()))
        interval = None if best is None else bootstrap.interval(np.log(best[:, j]))
        row["expected_best_speedup_ci"] = interval and (math.exp(interval[0]), math.exp(interval[1]))
        rows.append(row)
    return rows


def early_stops(metrics: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """A warning for each run of which `--stop-gain` ended cells. metrics: rows of metrics.jsonl by run."""
    said: list[str] = []
    for run, rows in metrics.items():
        if ended := len({(r["task_id"], r["seed"]) for r in rows if "expected_gain" in r}):
            cells = "1 cell" if ended == 1 else f"{ended} cells"
            said.append(
                f"{run}: --stop-gain ended {cells} where little more was expected: curves over K and shares of samples "
                "are biased"
            )
    return said


def bounds_of(task: TaskPool) -> Floats:
    """Lower bounds of a task's samples that allow for its number of distinct candidates."""
    among = max(task.candidates, task.distinct)
    again = task.ci_low
    if among > task.distinct:
        again = bound_at_level(task.speedup, task.ci_low, among, given=task.distinct)
    return np.where(task.remeasured, again, bound_at_level(task.speedup, task.ci_low, among))


def decide_by_winners(table: Floats | None, tasks: Sequence[TaskPool], ks: list[int], p: float) -> None:
    """At K = n all samples are tried and the best is taken: where it was measured again, that decides. table: (tasks,
    ks) chances, changed in place."""
    if table is None:
        return
    for i, task in enumerate(tasks):
        if task.n in ks and bool(task.remeasured.any()):
            again = task.remeasured & task.correct
            table[i, ks.index(task.n)] = float(bool((bounds_of(task)[again] > p).any()))


def _per_task(pools: Pools, ks: list[int], flags: list[Floats]) -> Floats | None:
    if any(bool(np.isnan(f).any()) for f in flags):
        return None
    return np.stack([any_of_k(t.n, int(f.sum()), ks) for t, f in zip(pools.tasks, flags, strict=True)])


def _best_speedups(pools: Pools, ks: list[int]) -> Floats | None:
    rows: list[Floats] = []
    for t in pools.tasks:
        values = np.where(t.correct, np.maximum(t.speedup, KEPT_REFERENCE), KEPT_REFERENCE)
        if bool(np.isnan(values).any()):
            return None
        rows.append(expected_best(values, ks))
    return np.stack(rows)


def strategy_curves(pools: Pools, *, sig: bool, seed: int = 0) -> list[dict[str, Any]]:
    """Per K and strategy of `CURVES`: share of fast choices among the correct of K random samples.

    The unit is the sample, whatever the unit of the table: K counts samples. Ties in the score are in random order.
    Empty when some correct sample was not timed or has no log-probabilities, or a task's samples are of several steps.
    """
    if pools.steps > 1:
        return []
    flags = [fast_flags(t.correct, t.ci_low if sig else t.speedup, 1.0)[t.correct] for t in pools.tasks]
    if any(
        bool(np.isnan(f).any() or np.isnan(t.surprisal[t.correct]).any())
        for f, t in zip(flags, pools.tasks, strict=True)
    ):
        return []
    ks = k_grid(min(t.n for t in pools.tasks))
    rng = np.random.default_rng(seed)
    tables: dict[str, list[Floats]] = {name: [] for name in CURVES}
    for t, fast in zip(pools.tasks, flags, strict=True):
        ordered = {name: fast[order] for name, order in _orders(t, rng).items()}
        for name, (order, m) in CURVES.items():
            tables[name].append(
                expected_random_m(fast, t.n, ks, m=m)
                if order == "random"
                else expected_top_m(ordered[order], t.n, ks, m=m)
            )
    means = {name: np.stack(rows).mean(axis=0) for name, rows in tables.items()}
    return [{"k": k, **{name: float(mean[j]) for name, mean in means.items()}} for j, k in enumerate(ks)]


def _orders(t: TaskPool, rng: np.random.Generator) -> dict[str, NDArray[np.intp]]:
    score = t.surprisal[t.correct]
    tie = rng.permutation(len(score))
    return {"surprising": np.lexsort((tie, -score)), "confident": np.lexsort((tie, score))}
