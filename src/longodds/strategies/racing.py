"""Live races among the correct programs of finished runs: pairs timed here and now, until the fastest is known.

Pairs come from fresh process pairs on two fork servers in turn, a batch for every look, so that what one process fixed
(addresses, caches) doesn't decide. A program that several seeds wrote is timed once.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

import numpy as np

from longodds.analysis.pool import build_pools
from longodds.analysis.price import Raced
from longodds.analysis.race import race
from longodds.analysis.table import tabulate
from longodds.errors import LongoddsError, UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from longodds.selection import Unit
    from longodds.types import Sample, Task

    Floats = NDArray[np.float64]

LOST = -10.0
"""Log ratio of a program that fails while it races: slower than anything that runs."""


class PairTimer(Protocol):
    """What a race needs of an evaluator: `d`, log ratios of one fresh process pair; fewer for a hopeless program."""

    def process_pair(self, task: Task, program: str, *, process: int, count: int) -> Mapping[str, Any]: ...


class _Stopwatch:
    """Pairs of every program so far, and what they took."""

    def __init__(self, timer: PairTimer) -> None:
        self._timer = timer
        self._known: dict[tuple[str, str], list[float]] = {}
        self._turn: dict[tuple[str, str], int] = {}
        self.seconds = 0.0
        self.pairs = 0
        self.failure: LongoddsError | None = None

    def draw(self, task: Task, key: str, program: str, count: int) -> list[float]:
        known = self._known.setdefault((task.id, key), [])
        asked = count - len(known)
        if asked > 0:
            turn = self._turn[task.id, key] = 3 - self._turn.get((task.id, key), 2)
            began = time.monotonic()
            found = self._pairs(task, program, turn, asked)
            self.seconds += time.monotonic() - began
            self.pairs += len(found)
            if len(found) < asked:  # it failed, or it is so slow that the evaluator gave up: it stays as slow
                found += [float(np.median(found)) if found else LOST] * (asked - len(found))
            known += found
        return known[:count]

    def _pairs(self, task: Task, program: str, process: int, count: int) -> list[float]:
        """Tried twice, since a busy machine may be at fault; none where the program fails again, correct as it is."""
        for _ in range(2):
            try:
                return list(self._timer.process_pair(task, program, process=process, count=count)["d"])
            except LongoddsError as e:
                self.failure = e
        return []

    def all_failed(self, task: Task, keys: Sequence[str]) -> bool:
        return all(set(self._known.get((task.id, key), ())) == {LOST} for key in keys)


def live_races(
    runs: Mapping[str, Sequence[Sample]],
    tasks: Mapping[str, Task],
    timer: PairTimer,
    *,
    unit: Unit = "program",
    told: Callable[[str, int, int], None] | None = None,
) -> Raced:
    """A race in every cell that has a correct candidate. runs: samples by run; tasks: by id; told: progress.

    Raises UserError for a task that is not there; where every program of a cell fails, what the last failure said.
    """
    pools = build_pools(tabulate(runs), unit)
    programs = {
        (s.task_id, s.program_digest if unit == "program" else s.sample_id): s.program
        for rows in runs.values()
        for s in rows
    }
    watch = _Stopwatch(timer)
    finishes: dict[tuple[str, str], tuple[str, int]] = {}
    for i, cell in enumerate(pools.cells):
        keys = [c.key for c in cell.candidates if c.correct]
        if told is not None:
            told(cell.task_id, i, len(pools.cells))
        if not keys:
            continue
        if cell.task_id not in tasks:
            raise UserError(f"task {cell.task_id}: its reference is not in the run; it can't be timed again")

        def draw(at: NDArray[np.intp], count: int, task: Task = tasks[cell.task_id], keys: list[str] = keys) -> Floats:
            return np.array([watch.draw(task, keys[j], programs[task.id, keys[j]], count) for j in at])

        finish = race(draw, len(keys))
        if len(keys) > 1 and watch.failure is not None and watch.all_failed(tasks[cell.task_id], keys):
            raise watch.failure
        finishes[cell.task_id, cell.replicate] = (keys[finish.winner], finish.pairs)
    return Raced(finishes, seconds=watch.seconds, pairs_run=watch.pairs)
