"""Samples arranged for analysis: cells (task x seed) of candidates with their timings, and pools (task) of samples.

Selection sees only the candidates; the timings are joined here, after the choice. Within a cell, verdicts of
different evaluator settings or devices can't be compared, and mixing them is refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from longodds.analysis.table import Table, tabulate
from longodds.errors import UserError
from longodds.types import Candidate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from longodds.analysis.table import Runs
    from longodds.selection import Unit

    Floats = NDArray[np.float64]
    Ints = NDArray[np.intp]

SCORES = ("surprisal", "sum_surprisal", "tail_entropy", "self_certainty")


@dataclass(frozen=True, slots=True)
class Cell:
    """One task and one seed (of one run, where several are analysed together). Arrays are (candidates,).

    speedup, ci_low: nan where not correct, not timed, or without an interval; 0 where it was too slow for a single
    pair, and so is not faster, whatever its speedup is. program: index among those of the task.
    """

    task_id: str
    replicate: str
    candidates: list[Candidate]
    speedup: Floats
    ci_low: Floats
    program: Ints


@dataclass(frozen=True, slots=True)
class TaskPool:
    """All judged samples of one task over its seeds, exchangeable if one policy wrote them. Arrays are (n,).

    surprisal in nats per token; n_tokens of the score span; group: code of the replicate, the same in all tasks;
    program: index of the distinct program; step, index: when it was drawn. speedup and ci_low as in `Cell`.
    remeasured: of the program that was measured again as the best of the task, whose ci_low allows for that already.
    candidates: distinct programs among which a bound must hold where that is more than there are here, as beside
    another run that has more.
    """

    task_id: str
    correct: NDArray[np.bool_]
    speedup: Floats
    ci_low: Floats
    surprisal: Floats
    n_tokens: Floats
    step: Floats
    index: Floats
    group: Ints
    program: Ints
    remeasured: NDArray[np.bool_]
    candidates: int = 0

    @property
    def n(self) -> int:
        return len(self.correct)

    @property
    def steps(self) -> int:
        """Steps of a sequence that the samples are of, policies or attempts; of several they are not exchangeable."""
        return len(np.unique(self.step))

    @property
    def distinct(self) -> int:
        return int(self.program.max()) + 1 if self.n else 0


@dataclass(frozen=True, slots=True)
class Pools:
    """Everything that `select` computes from. unjudged: samples without an outcome (unfinished, or ours to retry)."""

    unit: Unit
    cells: list[Cell]
    tasks: list[TaskPool]
    statuses: dict[str, int]
    unjudged: int
    evaluators: list[str]
    has_intervals: bool
    untimed: int
    without_logprobs: int
    with_top_logprobs: bool

    @property
    def k(self) -> int:
        """The most samples of a cell."""
        return max(sum(c.count for c in cell.candidates) for cell in self.cells)

    @property
    def steps(self) -> int:
        """The most steps that any task's samples are of; 1: any K of a task's samples could have been the K."""
        return max(t.steps for t in self.tasks)


def build_pools(samples: Runs | Table, unit: Unit = "program") -> Pools:
    """Arrange the samples of one run, of several by name (then a replicate is a run and a seed), or a table.

    Raises UserError for no judged sample, for another unit, or for a cell whose timings come from different evaluator
    settings.
    """
    if unit not in ("program", "sample"):
        raise UserError(f"unit {unit!r}: expected 'program' or 'sample'")
    table = tabulate(samples)
    if not len(table):
        raise UserError("no judged samples: run `longodds best-of-n RUN` to its end, or name a finished RUN")
    cells: list[Cell] = []
    tasks: list[TaskPool] = []
    for task in sorted(range(len(table.task_ids)), key=lambda i: table.task_ids[i]):
        rows = np.flatnonzero(table.task == task)
        if not len(rows):
            continue
        replicates = sorted({int(r) for r in table.replicate[rows]}, key=lambda i: table.replicates[i])
        program = _first_seen(table.program[rows])
        for replicate in replicates:
            mine = table.replicate[rows] == replicate
            cells.append(_cell(table, rows[mine], program[mine], unit))
        tasks.append(_task_pool(table, rows))
    correct = [(c, np.array([x.correct for x in c.candidates], dtype=bool)) for c in cells]
    timed = np.concatenate([c.speedup[right] for c, right in correct])
    low = np.concatenate([c.ci_low[right] for c, right in correct])
    known = ~np.isnan(timed)
    return Pools(
        unit=unit,
        cells=cells,
        tasks=tasks,
        statuses=table.statuses,
        unjudged=table.unjudged,
        evaluators=sorted(e for e in table.evaluators if e),
        has_intervals=bool(known.any()) and not bool(np.isnan(low[known]).any()),
        untimed=int((~known).sum()),
        without_logprobs=sum(math.isnan(x.surprisal) for c in cells for x in c.candidates if x.correct),
        with_top_logprobs=any(not math.isnan(x.self_certainty) for c in cells for x in c.candidates if x.correct),
    )


def _cell(table: Table, rows: Ints, program: Ints, unit: Unit) -> Cell:
    """rows: of one task and replicate. program: (rows,) index of the program among those of the task."""
    task_id, replicate = table.task_ids[int(table.task[rows[0]])], table.replicates[int(table.replicate[rows[0]])]
    group = _first_seen(program) if unit == "program" else np.arange(len(rows), dtype=np.intp)
    size = np.bincount(group)
    correct = np.bincount(group, table.correct[rows], len(size)) == size
    _refuse_mixture(table, rows[correct[group]], task_id, replicate)
    speedup, ci_low = _middle(table["speedup"][rows], table["ci_low"][rows], group, len(size))
    first = np.unique(group, return_index=True)[1]
    means = {name: _mean_known(table[name][rows], group, size) for name in SCORES}
    tokens = np.bincount(group, table["n_tokens"][rows], len(size)) / size
    copies = np.bincount(program)[program[first]]
    names = table.programs if unit == "program" else table.sample_ids
    at = table.program[rows[first]] if unit == "program" else rows[first]
    candidates = [
        Candidate(
            key=names[int(at[i])],
            correct=bool(correct[i]),
            surprisal=float(means["surprisal"][i]),
            sum_surprisal=float(means["sum_surprisal"][i]),
            n_tokens=float(tokens[i]),
            count=int(size[i]),
            popularity=int(copies[i]),
            tail_entropy=float(means["tail_entropy"][i]),
            self_certainty=float(means["self_certainty"][i]),
        )
        for i in range(len(size))
    ]
    hidden = np.where(correct, 0.0, math.nan)
    return Cell(task_id, replicate, candidates, speedup + hidden, ci_low + hidden, program[first])


def _refuse_mixture(table: Table, rows: Ints, task_id: str, replicate: str) -> None:
    timed = rows[~np.isnan(table["speedup"][rows])]
    evaluators = {table.evaluators[int(e)] for e in np.unique(table.evaluator[timed])} - {""}
    if len(evaluators) > 1:
        raise UserError(
            f"task {task_id}, seed {replicate}: verdicts of different evaluator settings or devices "
            f"({', '.join(sorted(evaluators))}) can't be compared; evaluate these samples again with one setting"
        )


def _first_seen(codes: Ints) -> Ints:
    """Codes renumbered 0, 1, ... in order of first appearance."""
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first, kind="stable"), kind="stable")[inverse]


def _mean_known(values: Floats, group: Ints, size: Ints) -> Floats:
    """Mean per group of those that are not nan; nan where none is known."""
    known = ~np.isnan(values)
    total = np.bincount(group, np.where(known, values, 0.0), len(size))
    count = np.bincount(group, known, len(size))
    return np.where(count > 0, total / np.maximum(count, 1), math.nan)


def _middle(speedup: Floats, ci_low: Floats, group: Ints, groups: int) -> tuple[Floats, Floats]:
    """The (lower) median measurement of each group, of those that were timed; nan where none was."""
    order = np.lexsort((speedup, group))
    order = order[~np.isnan(speedup[order])]
    count = np.bincount(group[order], minlength=groups)
    start = np.cumsum(count) - count
    at = order[(start + np.maximum(count - 1, 0) // 2)[count > 0]]
    found = np.full((2, groups), math.nan)
    found[:, count > 0] = speedup[at], ci_low[at]
    return found[0], found[1]


def _task_pool(table: Table, rows: Ints) -> TaskPool:
    place = np.argsort(np.argsort(np.array(table.replicates)))  # codes in the order of their names, whatever came first
    group = place[table.replicate[rows]]
    order = np.argsort(group, kind="stable")
    rows = rows[order]
    return TaskPool(
        task_id=table.task_ids[int(table.task[rows[0]])],
        correct=table.correct[rows],
        speedup=table["speedup"][rows],
        ci_low=table["ci_low"][rows],
        surprisal=table["surprisal"][rows],
        n_tokens=table["n_tokens"][rows],
        step=table["step"][rows],
        index=table["index"][rows],
        group=group[order],
        program=_first_seen(table.program[rows]),
        remeasured=table["remeasured"][rows] > 0,
    )
