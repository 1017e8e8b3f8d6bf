"""`select`: every strategy on finished runs, with intervals, tests and one verdict, as the document of the CLI."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from longodds.analysis.estimators import fast_flags
from longodds.analysis.fast_p import fast_p_table
from longodds.analysis.hypotheses import (
    cohens_h,
    holm,
    sign_flip_test,
    sign_test,
    wilcoxon_test,
)
from longodds.analysis.likelihood import likelihood_summary, spearman
from longodds.analysis.null import BASELINES, Null, permutation_null
from longodds.analysis.outcomes import METRICS, NAMES, ORACLE, Outcomes, outcomes
from longodds.analysis.plain import plain
from longodds.analysis.pool import Pools, TaskPool, build_pools
from longodds.analysis.price import price_document
from longodds.analysis.resampling import MIN_TASKS, Bootstrap, mean_interval
from longodds.analysis.scaling import scaling_curve, strategy_curves
from longodds.analysis.table import tabulate
from longodds.analysis.verdict import Difference, clustered, compare, verdict_document
from longodds.selection import NEEDS_LOGPROBS, NEEDS_TOP_LOGPROBS, STRATEGIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from longodds.analysis.pool import Cell
    from longodds.analysis.price import Raced
    from longodds.analysis.table import Runs, Table
    from longodds.selection import Unit

    Floats = NDArray[np.float64]

QUESTION = ("surprisal", "random")
BETWEEN: tuple[tuple[str, str], ...] = (
    ("surprisal", "most-confident"),
    ("surprisal-top3", "confident-top3"),
    ("surprisal", "shortest"),
    ("surprisal", "rarest"),
)
CHOOSING: tuple[str, ...] = tuple(s for s in STRATEGIES if s not in BASELINES)
FAMILIES: dict[str, tuple[tuple[str, str], ...]] = {
    **{f"against {base}": tuple((s, base) for s in CHOOSING) for base in BASELINES},
    "between strategies": BETWEEN,
}
"""Every strategy is tested against a random choice and against the best of three; Holm's adjustment runs inside each
family. The headline question was fixed in advance and is decided on its own p."""
PAIRS: dict[tuple[str, str], str] = {pair: name for name, pairs in FAMILIES.items() for pair in pairs}


def select_runs(
    samples: Runs | Table,
    *,
    unit: Unit = "program",
    seed: int = 0,
    runs: Sequence[str] | None = None,
    live: Raced | None = None,
) -> dict[str, Any]:
    """The document of `select --json` for the samples of one run, of several by name, or a table of them.

    unit: what is chosen among, distinct programs or samples. seed: breaks ties and drives the bootstrap; the same
    input and seed give the same document. runs: names of the runs, where `samples` does not tell. live:
    races that were run. Shares are in [0, 1]; figures that can't be known are None.
    Raises UserError where there is nothing judged or timings can't be compared.
    """
    table = tabulate(samples)
    pools = build_pools(table, unit)
    found = outcomes(pools, seed=seed)
    metric = deciding_metric(pools)
    bootstrap = Bootstrap(found.task, seed=seed)
    basis = _basis(pools, found, metric, seed=seed)
    usable = [n for n in NAMES if pools.with_top_logprobs or n not in NEEDS_TOP_LOGPROBS]
    differences: dict[tuple[str, str], Difference] = {}
    for a, b in PAIRS:
        if a in usable and b in usable:
            among, null = basis[_score_of(a, b)]
            differences[a, b] = compare(among, a, b, metric, bootstrap, null)
    tests = _tests(basis, differences, metric)
    adjusted = {(t["a"], t["b"]): t["p_adjusted"] for t in tests if t["metric"] == metric and t["test"] == PERMUTATION}
    n_tasks, n_cells = len(pools.tasks), len(pools.cells)
    document = {
        "runs": list(runs if runs is not None else samples if isinstance(samples, Mapping) else ()),
        "unit": unit,
        "seed": seed,
        "n_tasks": n_tasks,
        "n_cells": n_cells,
        "n_samples": sum(t.n for t in pools.tasks),
        "k": pools.k,
        "verdict": verdict_document(differences[QUESTION], n_tasks=n_tasks, n_cells=n_cells),
        "strategies": [_strategy_row(found, name, metric, bootstrap) for name in usable],
        "tests": tests,
        "answers": [
            verdict_document(d, n_tasks=n_tasks, n_cells=n_cells, p=None if pair == QUESTION else adjusted.get(pair))
            for pair, d in differences.items()
        ],
        "fast_p": fast_p_table(pools.tasks),
        "scaling": scaling_curve(pools, seed=seed),
        "selection_scaling": strategy_curves(pools, sig=pools.has_intervals, seed=seed),
        "likelihood": _likelihood(pools),
        "price": price_document(table, pools, found, metric, seed=seed, live=live),
        "per_task": _per_task(pools, found, metric, usable),
        "statuses": pools.statuses,
        "unjudged": pools.unjudged,
        "evaluators": pools.evaluators,
        "warnings": [*_repeats(table), *_warnings(pools, metric)],
    }
    return cast("dict[str, Any]", plain(document))


def headline(samples: Runs | Table, *, unit: Unit = "program", seed: int = 0) -> dict[str, Any]:
    """Only the `verdict` of `select_runs`, for where the rest is not needed: simulations, progress."""
    pools = build_pools(samples, unit)
    metric = deciding_metric(pools)
    found = outcomes(_scored(pools, _score_of(*QUESTION)), seed=seed)
    null = permutation_null(found, metric, [QUESTION[0]], seed=seed)
    difference = compare(found, *QUESTION, metric, Bootstrap(found.task, seed=seed), null)
    return cast(
        "dict[str, Any]", plain(verdict_document(difference, n_tasks=len(pools.tasks), n_cells=len(pools.cells)))
    )


def _basis(pools: Pools, found: Outcomes, metric: str, *, seed: int) -> dict[str | None, tuple[Outcomes, Null | None]]:
    """What strategies are compared on, by the score that they need: outcomes and their null."""
    basis: dict[str | None, tuple[Outcomes, Null | None]] = {
        None: (found, permutation_null(found, metric, CHOOSING, seed=seed))
    }
    for score in dict.fromkeys(_score_of(*pair) for pair in PAIRS):
        scored = _scored(pools, score)
        if scored is pools:
            basis[score] = basis[None]
        else:
            left = outcomes(scored, seed=seed)
            basis[score] = left, permutation_null(left, metric, CHOOSING, seed=seed)
    return basis


def _score_of(a: str, b: str) -> str | None:
    """The score, as `Candidate` names it, without which one of the two strategies can't choose a candidate."""
    for name in (a, b):
        if name in NEEDS_TOP_LOGPROBS:
            return "tail_entropy" if name.endswith("tail-entropy") else "self_certainty"
        if name in NEEDS_LOGPROBS:
            return "surprisal"
    return None


def _scored(pools: Pools, score: str | None) -> Pools:
    """Without the correct candidates that lack the score: whether a candidate has one may go with its speed, so that
    the rival must choose among the same. A cell where none has it stays as it is, and has no choice."""
    if score is None:
        return pools
    cells: list[Cell] = []
    for cell in pools.cells:
        right = np.array([c.correct for c in cell.candidates], dtype=bool)
        known = np.isfinite([getattr(c, score) for c in cell.candidates])
        kept = np.flatnonzero(known | ~right)
        if bool((right & known).any()) and len(kept) < len(right):
            cell = replace(
                cell,
                candidates=[cell.candidates[i] for i in kept],
                speedup=cell.speedup[kept],
                ci_low=cell.ci_low[kept],
                program=cell.program[kept],
            )
        cells.append(cell)
    return pools if all(a is b for a, b in zip(cells, pools.cells, strict=True)) else replace(pools, cells=cells)


def deciding_metric(pools: Pools) -> str:
    """Decisions are made on intervals where every timed candidate has one, else on point speedups."""
    return "fast_1_sig" if pools.has_intervals else "fast_1"


PERMUTATION = "paired permutation"


def _strategy_row(found: Outcomes, name: str, metric: str, bootstrap: Bootstrap) -> dict[str, Any]:
    has_choice = np.array([bool(r.keys) for r in found.rows])
    speed, log_speed = found.of(name, "speedup")[has_choice], found.of(name, "log_speedup")[has_choice]
    row: dict[str, Any] = {"name": name, "n": len(found.rows), "metric": metric}
    for m in METRICS[:4]:
        row[m] = float(found.of(name, m).mean())
        row[f"{m}_ci"] = bootstrap.interval(found.of(name, m), share=True)
    row["ci"] = row[f"{metric}_ci"]
    row["sd_over_seeds"] = _sd_over_seeds(found, found.of(name, metric))
    row["n_with_choice"] = int(has_choice.sum())
    row["mean_speedup"] = float(speed.mean()) if len(speed) else math.nan
    geometric = _task_means(log_speed, found.task[has_choice])
    row["geomean_speedup"] = math.exp(float(geometric.mean())) if len(geometric) else math.nan
    even = len(set(np.bincount(found.task).tolist())) == 1  # then the mean over cells is that over tasks
    every = has_choice.all() and (even or len(geometric) < 2)
    interval = bootstrap.interval(log_speed) if every else mean_interval(geometric, range(len(geometric)))
    row["geomean_speedup_ci"] = interval and (math.exp(interval[0]), math.exp(interval[1]))
    row["timed_evaluations"] = sum(r.sizes[name] for r in found.rows)
    row["untimed_cells"] = int(np.isnan(speed).sum())
    return row


def _task_means(values: Floats, tasks: NDArray[np.intp]) -> Floats:
    labels, unit = np.unique(tasks, return_inverse=True)
    return np.bincount(unit, values, len(labels)) / np.bincount(unit, minlength=len(labels))


def _sd_over_seeds(found: Outcomes, values: Floats) -> float:
    """Standard deviation (n - 1) over seeds of the mean over that seed's cells; nan with one seed."""
    seeds, unit = np.unique([r.cell.replicate for r in found.rows], return_inverse=True)
    if len(seeds) < 2:
        return math.nan
    return float(np.std(np.bincount(unit, values) / np.bincount(unit), ddof=1))


def _tests(
    basis: Mapping[str | None, tuple[Outcomes, Null | None]],
    differences: dict[tuple[str, str], Difference],
    metric: str,
) -> list[dict[str, Any]]:
    """Every pair on the deciding share and on log-speedups; Holm's adjustment per family, metric and test."""
    rows: list[dict[str, Any]] = []
    for (a, b), d in differences.items():
        found, null = basis[_score_of(a, b)]
        rows += _share_tests(found, d, metric)
        rows += _speed_tests(found, a, b, null)
    families: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        row["family"] = PAIRS[row["a"], row["b"]]
        families.setdefault((row["family"], row["metric"], row["test"]), []).append(row)
    for family in families.values():
        for row, p in zip(family, holm([r["p"] for r in family]), strict=True):
            row["p_adjusted"] = p
    return rows


def _share_tests(found: Outcomes, d: Difference, metric: str) -> list[dict[str, Any]]:
    if d.reason:
        return []
    base = {"a": d.a, "b": d.b, "metric": metric, "effect": cohens_h(d.share_a, d.share_b), "effect_name": "Cohen's h"}
    positive, sign_p = sign_test(clustered(found, found.of(d.a, metric) - found.of(d.b, metric)))
    return [
        {**base, "test": PERMUTATION, "statistic": d.estimate, "p": d.p},
        {**base, "test": "sign", "statistic": positive, "p": sign_p},
    ]


def _speed_tests(found: Outcomes, a: str, b: str, null: Null | None) -> list[dict[str, Any]]:
    """Log-speedup of the choices over cells with a correct candidate; `effect` is the ratio of geometric means."""
    kept = [bool(r.keys) for r in found.rows]
    va, vb = found.of(a, "log_speedup")[kept], found.of(b, "log_speedup")[kept]
    if not any(kept) or bool(np.isnan(va).any() or np.isnan(vb).any()):
        return []
    d = va - vb
    base = {"a": a, "b": b, "metric": "log_speedup", "effect": math.exp(float(d.mean())), "effect_name": "ratio"}
    full = np.zeros(len(kept))
    full[kept] = d
    units = clustered(found, full)
    p = null.log_p(a, b) if null is not None and b in BASELINES else None
    if p is None:
        p = sign_flip_test(units)[1]
    rank_sum, rank_p = wilcoxon_test(units)
    positive, sign_p = sign_test(units)
    return [
        {**base, "test": PERMUTATION, "statistic": float(d.mean()), "p": p},
        {**base, "test": "wilcoxon", "statistic": rank_sum, "p": rank_p},
        {**base, "test": "sign", "statistic": positive, "p": sign_p},
    ]


def _columns(t: TaskPool) -> tuple[Floats, Floats, Floats]:
    """surprisal, speedup and length of a task's correct, timed, scored programs over all its seeds. Whatever the unit
    of the choice: samples that wrote one program are no independent evidence."""
    kept = t.correct & (t.speedup > 0) & ~np.isnan(t.surprisal)
    values = np.stack([t.surprisal[kept], t.speedup[kept], t.n_tokens[kept]])
    if values.shape[1]:
        _, group = np.unique(t.program[kept], return_inverse=True)
        count = np.bincount(group)
        values = np.stack([np.bincount(group, v) / count for v in values])
    return values[0], values[1], values[2]


def _likelihood(pools: Pools) -> dict[str, Any]:
    return likelihood_summary([_columns(t) for t in pools.tasks])


def _per_task(pools: Pools, found: Outcomes, metric: str, usable: Sequence[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for i, t in enumerate(pools.tasks):
        mine = found.task == i
        surprisal, speedup, _ = _columns(t)
        timed = np.flatnonzero(t.correct & (t.speedup > 0))
        best = int(timed[np.argmax(t.speedup[timed])]) if len(timed) else None
        rows.append(
            {
                "task_id": t.task_id,
                "seeds": len(np.unique(t.group)),
                "n_samples": t.n,
                "n_correct": int(t.correct.sum()),
                "n_distinct": t.distinct,
                "n_distinct_correct": len(np.unique(t.program[t.correct])),
                "fast_1": float(fast_flags(t.correct, t.speedup).mean()),
                "fast_1_sig": float(fast_flags(t.correct, t.ci_low).mean()) if pools.has_intervals else None,
                "best_speedup": None if best is None else float(t.speedup[best]),
                "best_ci_low": None if best is None else float(t.ci_low[best]),
                "spearman": spearman(surprisal, speedup),
                "strategies": {name: float(found.of(name, metric)[mine].mean()) for name in usable},
                "speedups": {
                    name: math.exp(float(found.of(name, "log_speedup")[mine].mean())) for name in (ORACLE, *QUESTION)
                },
            }
        )
    return rows


def _repeats(table: Table) -> list[str]:
    """A sample that is in several runs, as one is a copy, a replay or the beginning of another, is one observation.

    Ids of imported samples only number them, so what a sample is must be equal too: its program and its likelihood, or
    its speedup where that is unknown.
    """
    what = np.where(np.isnan(table["sum_surprisal"]), table["speedup"], table["sum_surprisal"])
    first: dict[tuple[str, int, float], int] = {}
    pairs: list[tuple[int, int]] = []
    known = np.flatnonzero(~np.isnan(what)) if len(table.replicates) > 1 else ()
    for i in known:
        other = first.setdefault((table.sample_ids[i], int(table.program[i]), float(what[i])), int(table.replicate[i]))
        if other != table.replicate[i]:
            pairs.append((other, int(table.replicate[i])))
    if not pairs:
        return []
    a, b = (table.replicates[code] for code in pairs[0])
    return [
        f"{len(pairs)} samples are in another run as well, with the same program and likelihood (first in {a} and "
        f"{b}), and count as often: intervals and p-values take them for new evidence; leave out one of those runs"
    ]


def _warnings(pools: Pools, metric: str) -> list[str]:
    said: list[str] = []
    if len(pools.tasks) < MIN_TASKS:
        said.append(
            f"{len(pools.tasks)} tasks: below {MIN_TASKS} an interval over tasks can't promise its coverage; "
            "read the intervals as rough, and no 'no difference' is claimed"
        )
    if metric == "fast_1" and any(bool((t.correct & ~np.isnan(t.speedup)).any()) for t in pools.tasks):
        said.append("some speedups have no interval: decisions use point speedups (fast_1), not fast_1_sig")
    if pools.untimed:
        said.append(
            f"{pools.untimed} correct candidates were not timed: strategies that would need them have no figure"
        )
    if pools.without_logprobs:
        said.append(
            f"{pools.without_logprobs} correct candidates have no usable log-probabilities: they are passed over, "
            "also by the rival where a strategy that needs them is compared"
        )
    if pools.unjudged:
        said.append(f"{pools.unjudged} samples have no outcome yet and are left out")
    if pools.steps > 1:
        said.append(
            f"samples of up to {pools.steps} steps a task, which no one policy drew: there is no curve over K, and "
            "choices are among all of them; `compare` has what the steps gave in their order"
        )
    if len(pools.evaluators) > 1:
        said.append(
            f"verdicts come from {len(pools.evaluators)} evaluator settings or devices, never mixed inside a cell"
        )
    return said
