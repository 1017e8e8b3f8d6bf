"""An arm of a comparison: what K of its samples per task are worth and cost, for every K.

The samples of Best-of-N are exchangeable: any K of them could have been the K, and the curve is the exact mean over all
of them. The samples of a sequence (ttt, sdpo, rlvr, refine) are not: only its prefixes could have been stopped at.
Costs are per task: the prompt once, then sample by sample; a step of learning is paid before the first sample after it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from longodds.analysis.estimators import any_of_k, dense_grid, expected_best, fast_flags, prefix_best
from longodds.analysis.library import student_quantile
from longodds.analysis.pool import build_pools
from longodds.analysis.resampling import Bootstrap
from longodds.analysis.scaling import KEPT_REFERENCE, bounds_of, decide_by_winners

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from longodds.analysis.pool import Pools, TaskPool
    from longodds.analysis.table import Table

    Floats = NDArray[np.float64]
    Ints = NDArray[np.intp]

AXES = ("samples", "tokens", "flops", "device-seconds", "cost")
ACCOUNTS = ("charged", "run")
EXCHANGEABLE = frozenset({"best_of_n", "import"})
"""Strategies, as samples name them, whose samples are drawn independently from one policy."""


@dataclass(frozen=True, slots=True)
class Learning:
    """What one step of learning cost, before the samples of `step`: tokens trained and scored, seconds."""

    step: int
    trained_tokens: float = 0.0
    scored_tokens: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ArmData:
    """A run as read. parameters: active ones of the policy, None if unknown. prices: `price_prompt`, `price_sampled`
    per million tokens, `price_device` per hour. learned_from: tasks that the weights were learned from in order to be
    used on others (rlvr). totals: cost of the whole run, charged and run."""

    run: str
    strategy: str
    table: Table
    parameters: int | None = None
    prices: Mapping[str, float] = field(default_factory=dict[str, float])
    learning: tuple[Learning, ...] = ()
    learned_from: frozenset[str] = frozenset()
    totals: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict[str, Mapping[str, float | None]])


Tables = tuple["Floats | None", "Floats | None", "Floats | None"]
NONE: Tables = (None, None, None)


@dataclass(frozen=True, slots=True)
class Curves:
    """grid: (g,) values of K from 1 to n. any_fast, any_fast_sig: (tasks, g) chances; None where a timing, or an
    interval, is missing. best: (tasks, g) expected log of the best speedup. by_seed: the same three as (seeds, g) means
    over tasks, for a sequence. cost: account -> axis -> (g,), nan where unknown. each: by task, the same three of every
    sample alone. drawn: by task, its rows in the order of drawing; of every seed of a sequence, of all samples together
    where they are exchangeable."""

    data: ArmData
    tasks: list[TaskPool]
    has_intervals: bool
    exchangeable: bool
    n: int
    seeds: int
    grid: Ints
    any_fast: Floats | None
    any_fast_sig: Floats | None
    best: Floats | None
    by_seed: Tables
    cost: dict[str, dict[str, Floats]]
    each: list[Tables]
    drawn: list[list[Ints]]

    def interval(self, which: int, k: int) -> tuple[float, float] | None:
        """95 % interval of curve `which` (any_fast, any_fast_sig, best) at K: over tasks, or seeds of a sequence."""
        at = int(np.searchsorted(self.grid, k))
        values = (self.any_fast, self.any_fast_sig, self.best)[which]
        if values is None:
            return None
        if self.exchangeable:
            return Bootstrap(range(len(values))).interval(values[:, at], share=which < 2)
        seeds = self.by_seed[which]
        found = None if seeds is None else seed_interval(seeds[:, at])
        return (max(found[0], 0.0), min(found[1], 1.0)) if found and which < 2 else found


def seed_interval(means: Floats, *, level: float = 0.95) -> tuple[float, float] | None:
    """Student's t over the means of independent seeds; None with fewer than two, or where all are equal, which says
    nothing of how far others would be from them."""
    n = len(means)
    if n < 2 or bool((means == means[0]).all()):
        return None
    half = student_quantile(0.5 + level / 2, n - 1) * float(np.std(means, ddof=1)) / math.sqrt(n)
    return float(means.mean()) - half, float(means.mean()) + half


def build_curves(
    data: ArmData, tasks: frozenset[str], pools: Pools | None = None, among: Mapping[str, int] | None = None
) -> Curves:
    """The curves of one run on these tasks, each of which it must have.

    pools: of `data.table`, where they are built already. among: task -> distinct candidates of the run that has most:
    with a level of its own, the run with fewer would be held to less. Raises UserError as `build_pools`.
    """
    pools = pools or build_pools(data.table)
    chosen = [replace(t, candidates=(among or {}).get(t.task_id, 0)) for t in pools.tasks if t.task_id in tasks]
    exchangeable = data.strategy in EXCHANGEABLE and all(t.steps == 1 for t in chosen)
    build = _exchangeable if exchangeable else _sequence
    grid, seeds, tables, by_seed = build(chosen, pools.has_intervals)
    cost = _costs(data, chosen, grid, exchangeable=exchangeable)
    each = [_values(t, pools.has_intervals) for t in chosen]
    by_group = [[_order(t, int(g)) for g in np.unique(t.group)] for t in chosen]
    drawn = [[np.lexsort((t.group, t.index))] for t in chosen] if exchangeable else by_group
    known = (data, chosen, pools.has_intervals, exchangeable, int(grid[-1]), seeds, grid)
    return Curves(*known, *tables, by_seed, cost, each, drawn)


def _values(t: TaskPool, has_intervals: bool) -> Tables:
    """(n,) flags on the point speedup, flags on the bound at the task's level, log-speedups, 0 at the least.

    Logs before any mean over subsets: a sequence has the log of one best, and the log of a mean exceeds a mean of logs.
    """
    sig = fast_flags(t.correct, bounds_of(t)) if has_intervals else None
    best = np.where(t.correct, np.maximum(t.speedup, KEPT_REFERENCE), KEPT_REFERENCE)
    return fast_flags(t.correct, t.speedup), sig, np.log(best)


def _stack(columns: list[Tables], which: int) -> list[Floats] | None:
    found = [c[which] for c in columns]
    if any(f is None or bool(np.isnan(f).any()) for f in found):
        return None
    return [f for f in found if f is not None]


def _exchangeable(tasks: list[TaskPool], has_intervals: bool) -> tuple[Ints, int, Tables, Tables]:
    grid = dense_grid(min(t.n for t in tasks))
    ks = [int(k) for k in grid]
    columns = [_values(t, has_intervals) for t in tasks]
    flags, sig, best = (_stack(columns, i) for i in range(3))
    tables = (
        None if flags is None else np.stack([any_of_k(len(f), int(f.sum()), ks) for f in flags]),
        None if sig is None else np.stack([any_of_k(len(f), int(f.sum()), ks) for f in sig]),
        None if best is None else np.stack([expected_best(b, ks) for b in best]),
    )
    decide_by_winners(tables[1], tasks, ks, 1.0)
    return grid, max(len(np.unique(t.group)) for t in tasks), tables, NONE


def _sequence(tasks: list[TaskPool], has_intervals: bool) -> tuple[Ints, int, Tables, Tables]:
    """Best of the first K in order of drawing, the mean over seeds per task and the mean over tasks per seed."""
    cells = [(i, g, _order(t, g)) for i, t in enumerate(tasks) for g in np.unique(t.group)]
    grid = dense_grid(min(len(order) for _, _, order in cells))
    columns = [_values(t, has_intervals) for t in tasks]
    task = np.array([i for i, _, _ in cells])
    seed = np.array([g for _, g, _ in cells])
    by_task: list[Floats | None] = []
    by_seed: list[Floats | None] = []
    for which in range(3):
        known = _stack(columns, which)
        if known is None:
            by_task.append(None)
            by_seed.append(None)
            continue
        rows = np.stack([prefix_best(known[i][order])[grid - 1] for i, _, order in cells])
        by_task.append(np.stack([rows[task == i].mean(axis=0) for i in range(len(tasks))]))
        by_seed.append(np.stack([rows[seed == g].mean(axis=0) for g in np.unique(seed)]))
    return grid, len(np.unique(seed)), (by_task[0], by_task[1], by_task[2]), (by_seed[0], by_seed[1], by_seed[2])


def _order(t: TaskPool, group: int) -> Ints:
    """Rows of one seed in the order of drawing. Unjudged samples have no row: they cost and gave nothing known."""
    rows = np.flatnonzero(t.group == group)
    return rows[np.lexsort((t.index[rows], t.step[rows]))]


# --- cost --------------------------------------------------------------------------------------


def _costs(data: ArmData, tasks: list[TaskPool], grid: Ints, *, exchangeable: bool) -> dict[str, dict[str, Floats]]:
    """account -> axis -> (g,) cost per task of K samples."""
    out: dict[str, dict[str, Floats]] = {}
    for account in ACCOUNTS:
        each = _sample_costs(data, account)
        prompt = _prompt_costs(data)
        rows = [np.flatnonzero(data.table.task == data.table.task_ids.index(t.task_id)) for t in tasks]
        if exchangeable:
            mean = np.mean([each[r].mean(axis=0) for r in rows], axis=0)
            once = np.mean([prompt[r].mean(axis=0) for r in rows], axis=0)
            k = np.asarray(grid, dtype=np.float64)[:, None]
            calls = np.maximum(k * _calls(data, rows), 1.0) if account == "run" else np.ones_like(k)
            total = calls * once + k * mean
        else:
            before = _paid_before(data, {t.task_id for t in tasks}, each, prompt, account)
            seeds = [c for r in rows for c in _prefix_costs(data, r, each, prompt, grid, before, account)]
            total = np.mean(seeds, axis=0)
        out[account] = {axis: total[:, i] for i, axis in enumerate(AXES)}
    return out


def _prefix_costs(
    data: ArmData,
    rows: Ints,
    each: Floats,
    prompt: Floats,
    grid: Ints,
    before: list[tuple[float, Floats]],
    account: str,
) -> list[Floats]:
    """Per seed of one task: (g, axes) cost of the first K samples. before: (step, cost) that is paid before the first
    sample of that step or a later one."""
    found: list[Floats] = []
    for step, spent in _spent(data, rows, each, prompt, account):
        for at, cost in before:
            later = np.flatnonzero(step >= at)
            if len(later):
                spent[later[0]] += cost
        found.append(np.cumsum(spent, axis=0)[grid - 1])
    return found


def _spent(data: ArmData, rows: Ints, each: Floats, prompt: Floats, account: str) -> list[tuple[Floats, Floats]]:
    """Per seed of one task, in the order of drawing: (n,) steps and (n, axes) costs of the samples, with the prompt
    again at every step and for every sample that has its own; by what was run, at every call."""
    found: list[tuple[Floats, Floats]] = []
    for replicate in np.unique(data.table.replicate[rows]):
        mine = rows[data.table.replicate[rows] == replicate]
        mine = mine[np.lexsort((data.table["index"][mine], data.table["step"][mine]))]
        step = data.table["step"][mine]
        spent = each[mine].copy()
        asked = np.append(True, step[1:] != step[:-1]) | (data.table["own_prompt"][mine] == 1)
        if account == "run":
            call = data.table["call"][mine]
            asked |= np.append(True, call[1:] != call[:-1])
        spent[asked] += prompt[mine][asked]
        found.append((step, spent))
    return found


def _paid_before(
    data: ArmData, compared: set[str], each: Floats, prompt: Floats, account: str
) -> list[tuple[float, Floats]]:
    """(step, cost per task) of steps of learning, shared by all tasks of the run, compared or not.

    Samples of tasks that were only learned from, and are not compared, are a part of learning: the weights of the next
    step were made of them. Such tasks take no share.
    """
    t = data.table
    only = np.array([name in data.learned_from and name not in compared for name in t.task_ids], dtype=bool)
    users = len(np.unique(t.task[~only[t.task]]))
    paid = [(float(step.step), _learning_costs(data, step) / users) for step in data.learning]
    for task in np.unique(t.task[only[t.task]]):
        for steps, spent in _spent(data, np.flatnonzero(t.task == task), each, prompt, account):
            paid += [(float(s) + 1, spent[steps == s].sum(axis=0) / users) for s in np.unique(steps)]
    return paid


def _calls(data: ArmData, rows: list[Ints]) -> float:
    """Calls to the policy per sample: each reads the prompt."""
    t = data.table
    each = [np.stack([t.replicate[r], t["step"][r], np.nan_to_num(t["call"][r])], axis=1) for r in rows]
    return float(np.mean([len(np.unique(x, axis=0)) / len(x) for x in each]))


def _flops(data: ArmData, tokens: Floats, per_parameter: float) -> Floats:
    return tokens * (math.nan if not data.parameters else per_parameter * data.parameters)


def _money(data: ArmData, prompt: Floats, sampled: Floats, seconds: Floats) -> Floats:
    p = data.prices
    if not any(p.values()):
        return np.full(len(seconds), math.nan)
    return (
        prompt * p.get("price_prompt", 0.0) / 1e6
        + sampled * p.get("price_sampled", 0.0) / 1e6
        + seconds * p.get("price_device", 0.0) / 3600
    )


def _sample_costs(data: ArmData, account: str) -> Floats:
    """(n, axes) of each sample and its verdict; by what the machine did, a repeated verdict costs nothing."""
    sampled = data.table["sampled_tokens"]
    read = np.nan_to_num(data.table["scored_tokens"])
    judging = data.table["seconds"]
    if account == "run":
        judging = np.where(data.table["duplicate"] == 1, 0.0, judging)
        read = read + np.nan_to_num(data.table["reread_tokens"])
    known = data.table[f"{account}_seconds"]
    seconds = np.nan_to_num(data.table["sampling_seconds"]) + np.nan_to_num(np.where(np.isnan(known), judging, known))
    none = np.zeros(len(sampled))
    money = _money(data, none, np.nan_to_num(sampled), seconds)
    return np.stack([none + 1, sampled + read, _flops(data, sampled + read, 2.0), seconds, money], axis=1)


def _prompt_costs(data: ArmData) -> Floats:
    """(n, axes) of the prompt that each sample continues."""
    prompt = np.nan_to_num(data.table["prompt_tokens"])
    none = np.zeros(len(prompt))
    return np.stack([none, prompt, _flops(data, prompt, 2.0), none, _money(data, prompt, none, none)], axis=1)


def _learning_costs(data: ArmData, step: Learning) -> Floats:
    """(axes,) of one step of learning. Its tokens have no price: money is known by the hour alone."""
    p = math.nan if not data.parameters else float(data.parameters)
    flops = p * (6.0 * step.trained_tokens + 2.0 * step.scored_tokens)
    priced = data.prices.get("price_device") or not (step.trained_tokens or step.scored_tokens)
    money = _money(data, np.zeros(1), np.zeros(1), np.array([step.seconds]))[0] if priced else math.nan
    return np.array([0.0, step.trained_tokens + step.scored_tokens, flops, step.seconds, money])
