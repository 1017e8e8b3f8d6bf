"""`compare`: runs as arms at matched cost, as the document of the CLI."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from longodds.analysis.arms import ACCOUNTS, AXES, ArmData, Curves, build_curves
from longodds.analysis.estimators import fast_flags, k_grid
from longodds.analysis.frontier import arm_tests, common_budget, equivalents, frontier, table_of
from longodds.analysis.plain import plain
from longodds.analysis.pool import build_pools
from longodds.analysis.resampling import MIN_TASKS, Bootstrap
from longodds.analysis.verdict import percent
from longodds.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from longodds.analysis.documents import CompareDocument

UNITS = {
    "samples": "samples",
    "tokens": "tokens",
    "flops": "FLOPs",
    "device-seconds": "device-seconds",
    "cost": "of money",
}


def compare_arms(arms: Sequence[ArmData], *, axis: str = "samples", seed: int = 0) -> CompareDocument:
    """The document of `compare --json`.

    arms: runs; only the tasks that all of them have are compared. axis: of the frontier and the matched tests. seed:
    drives the bootstrap. Raises UserError for an unknown axis, no task in common, verdicts of a task that can't be
    compared between runs, or an axis on which some run's cost is not known.
    """
    if axis not in AXES:
        raise UserError(f"axis {axis!r}: expected one of {', '.join(AXES)}")
    if not arms:
        raise UserError("name at least one RUN")
    tasks = common_tasks(arms)
    _refuse_mixture(arms, tasks)
    pools = [build_pools(a.table) for a in arms]
    among: dict[str, int] = {}
    for t in (t for p in pools for t in p.tasks):
        among[t.task_id] = max(among.get(t.task_id, 0), t.distinct)
    curves = [build_curves(a, tasks, p, among) for a, p in zip(arms, pools, strict=True)]
    _refuse_unknown_cost(curves, axis)
    metric = "any_of_k_sig" if all(c.any_fast_sig is not None for c in curves) else "any_of_k"
    baseline = next((c for c in curves if c.exchangeable), None)
    rows = frontier(curves, axis, "charged", metric)
    document = {
        "runs": [a.run for a in arms],
        "axis": axis,
        "metric": metric,
        "n_tasks": len(tasks),
        "tasks": sorted(tasks),
        "arms": [_arm(c) for c in curves],
        "baseline": None if baseline is None else baseline.data.run,
        "equivalent_k": {
            c.data.run: {"any_of_k": None} if baseline is None else equivalents(c, baseline, seed=seed) for c in curves
        },
        "frontier": rows,
        "frontier_run": frontier(curves, axis, "run", metric),
        "tests": arm_tests(curves, axis, metric),
        "sentence": _sentence(rows, common_budget(curves, axis, "charged"), axis, metric, len(tasks)),
        "warnings": _warnings(arms, curves, tasks, metric, baseline),
    }
    return cast("CompareDocument", plain(document))


def common_tasks(arms: Sequence[ArmData]) -> frozenset[str]:
    """Tasks that every arm has judged samples of. Raises UserError where there is none."""
    have = [{a.table.task_ids[int(i)] for i in np.unique(a.table.task)} for a in arms]
    tasks = frozenset(set.intersection(*have))
    if not tasks:
        raise UserError(f"{', '.join(a.run for a in arms)}: no task with judged samples is in all of them")
    return tasks


def _refuse_mixture(arms: Sequence[ArmData], tasks: frozenset[str]) -> None:
    seen: dict[str, tuple[ArmData, str]] = {}
    for arm in arms:
        t = arm.table
        timed = ~np.isnan(t["speedup"])
        for task, evaluator in {(int(x), int(y)) for x, y in zip(t.task[timed], t.evaluator[timed], strict=True)}:
            task_id, digest = t.task_ids[task], t.evaluators[evaluator]
            if task_id not in tasks or not digest:
                continue
            before, other = seen.setdefault(task_id, (arm, digest))
            if other != digest:
                again = [a.run for a in (before, arm) if a.strategy == "best_of_n"]  # only best-of-n has the flag
                how = f"judge {' or '.join(again)} again (best-of-n --re-evaluate)" if again else "leave one out"
                raise UserError(
                    f"task {task_id}: {before.run} and {arm.run} have verdicts of different evaluator settings or "
                    f"devices ({other}, {digest}), which can't be compared; {how}"
                )


def _refuse_unknown_cost(curves: Sequence[Curves], axis: str) -> None:
    for c in curves:
        cost = c.cost["charged"][axis]
        # No sample is drawn and judged for nothing: a run that cost nothing at all is one that nobody metered.
        if not bool(np.isfinite(cost).all()) or not bool(np.any(cost > 0)):
            unpriced = "its learning has no price but --price-device, which it was run without"
            remedy = {
                "cost": unpriced
                if c.data.learning and any(c.data.prices.values())
                else "it was run without prices (--price-sampled, --price-device)",
                "flops": "the size of its policy is not recorded",
            }.get(axis, "its rows do not record it")
            raise UserError(f"{c.data.run}: its cost in {axis} is not known: {remedy}; choose another --axis")


def _arm(c: Curves) -> dict[str, Any]:
    flags = [fast_flags(t.correct, t.speedup) for t in c.tasks]
    sig = [fast_flags(t.correct, t.ci_low) for t in c.tasks] if c.has_intervals else None
    means = np.array([f.mean() for f in flags])
    return {
        "run": c.data.run,
        "strategy": c.data.strategy,
        "exchangeable": c.exchangeable,
        "n": c.n,
        "seeds": c.seeds,
        "cost": {account: dict(c.data.totals.get(account, {})) for account in ACCOUNTS},
        "curve": [_curve_row(c, k) for k in k_grid(c.n)],
        "per_sample": float(means.mean()),
        "per_sample_ci": Bootstrap(range(len(means))).interval(means, share=True),
        "per_sample_sig": None if sig is None else float(np.mean([f.mean() for f in sig])),
        "correct": float(np.mean([t.correct.mean() for t in c.tasks])),
    }


def _curve_row(c: Curves, k: int) -> dict[str, Any]:
    at = int(np.searchsorted(c.grid, k))
    means = [None if t is None else float(t[:, at].mean()) for t in (c.any_fast, c.any_fast_sig, c.best)]
    best = c.interval(2, k)
    return {
        "k": k,
        "any_of_k": means[0],
        "ci": c.interval(0, k),
        "any_of_k_sig": means[1],
        "any_of_k_sig_ci": c.interval(1, k),
        "expected_best_speedup": None if means[2] is None else math.exp(means[2]),
        "expected_best_speedup_ci": best and (math.exp(best[0]), math.exp(best[1])),
        "cost": {axis: float(c.cost["charged"][axis][at]) for axis in AXES},
        "cost_run": {axis: float(c.cost["run"][axis][at]) for axis in AXES},
    }


def _sentence(rows: list[dict[str, Any]], common: float | None, axis: str, metric: str, n_tasks: int) -> str:
    if not rows:
        return "Nothing to compare: the chance of a faster program is not known for some run."
    if len(rows[0]["arms"]) < 2:
        return "One run alone: name another to compare it with."
    if common is None:
        return f"No budget in {axis} is within what every run has spent: they can't be compared at matched cost."
    row = min(rows, key=lambda r: abs(r["budget"] - common))
    if row["leading"] is None:
        return "Cannot tell: some of the correct programs were not timed."
    shares = {a["run"]: a["value"] for a in row["arms"] if a["value"] is not None}
    lead = row["leading"]
    text = f"At {common:.4g} {UNITS[axis]} per task, {lead} leads with {percent(shares[lead])} ({metric})"
    others = ", ".join(f"{run} {percent(v)}" for run, v in shares.items() if run != lead)
    text += f"; {others}. " if others else ". "
    if row["best"] is not None:
        return text + f"It is better than every other arm on these {n_tasks} tasks (adjusted p < 0.02)."
    return text + f"The data can't tell it from {', '.join(row['tied'])}: {n_tasks} tasks."


def _warnings(
    arms: Sequence[ArmData], curves: Sequence[Curves], tasks: frozenset[str], metric: str, baseline: Curves | None
) -> list[str]:
    said: list[str] = []
    if len(tasks) < MIN_TASKS:
        said.append(f"{len(tasks)} tasks: below {MIN_TASKS} an interval over tasks can't promise its coverage")
    for a in arms:
        more = {a.table.task_ids[int(i)] for i in np.unique(a.table.task)} - tasks
        if more:
            said.append(f"{a.run}: {len(more)} tasks that not every run has are left out (first: {min(more)})")
        if a.table.unjudged:
            said.append(f"{a.run}: {a.table.unjudged} samples have no outcome yet and are left out")
    if metric == "any_of_k":
        said.append("some run has no intervals: decisions use point speedups (any_of_k), not any_of_k_sig")
    if baseline is None:
        said.append("no run is Best-of-N: there is no curve for an equivalent K")
    if any(table_of(c, "any_of_k") is None for c in curves):
        said.append("some correct programs were not timed: their runs have no curve")
    again = [any(bool(t.remeasured.any()) for t in c.tasks) for c in curves]
    if metric == "any_of_k_sig" and any(again) and not all(again):
        once = ", ".join(c.data.run for c, twice in zip(curves, again, strict=True) if not twice)
        said.append(
            f"{once}: winners were measured once, those of other runs again, which decides at K = n: there such a run "
            "looks better than equal programs of the others"
        )
    for c in curves:
        if not c.exchangeable and c.seeds < 2:
            said.append(f"{c.data.run}: one seed of a sequence gives no interval for its curve")
    return said
