"""Gives every sample its verdict: equal programs of a task are run once, the rest are charged as duplicates."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from longodds.selection import to_candidates
from longodds.store import VerdictRow
from longodds.types import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from longodds.store import RunDir
    from longodds.strategies.planning import TimePlan
    from longodds.strategies.progress import Progress
    from longodds.types import Evaluator, Sample, Task


class Ledger:
    """The verdicts of a run so far, by sample and by program; grows as rows are written."""

    def __init__(self, run: RunDir, samples: Iterable[Sample], *, accept: str | None = None) -> None:
        """accept: evaluator digest; verdicts of another one are owed again (None: all verdicts are kept)."""
        self.run = run
        self._rows: dict[str, VerdictRow] = {
            key: row
            for key, row in run.verdicts().items()
            if row.settled and (accept is None or row.verdict.evaluator == accept)
        }
        self._by_program: dict[tuple[str, str], VerdictRow] = {}
        for sample in samples:
            self._index(sample)

    def row(self, sample: Sample) -> VerdictRow | None:
        """The settled verdict of a sample, or None when it is owed."""
        return self._rows.get(sample.sample_id)

    def of_program(self, sample: Sample) -> VerdictRow | None:
        """The settled verdict of an equal program of the same task; one that was run, rather than a duplicate."""
        return self._by_program.get((sample.task_id, sample.program_digest))

    def write(self, rows: Mapping[str, VerdictRow], samples: Sequence[Sample]) -> None:
        """Rows by sample id, for these samples, in one write."""
        self.run.append_verdicts(list(rows.values()))
        for sample in samples:
            row = rows[sample.sample_id]
            if row.settled:
                self._rows[sample.sample_id] = row
                self._index(sample)

    def judged(self, samples: Iterable[Sample]) -> list[Sample]:
        """The samples that have a settled verdict, with it."""
        rows = ((s, self.row(s)) for s in samples)
        return [replace(s, verdict=row.verdict) for s, row in rows if row is not None]

    def winner(self, samples: Sequence[Sample]) -> tuple[Sample, int] | None:
        """The sample whose program has the highest lower bound above 1, and the number of distinct programs among
        `samples`; None where none is faster, or where the best of as many has been measured again already."""
        judged = self.judged(samples)
        among = len({s.program_digest for s in judged})
        if any(s.verdict is not None and s.verdict.remeasured_among == among for s in judged):
            return None
        # One that ran is asked for again, not its repetition.
        ran = [s for s in judged if (row := self.row(s)) is not None and row.duplicate_of is None]
        faster = [(s.verdict.ci_low, s) for s in ran if s.verdict and s.verdict.correct and s.verdict.ci_low]
        best = max(faster, key=lambda pair: pair[0], default=(0.0, None))
        return None if best[1] is None or best[0] <= 1.0 else (best[1], among)

    def unshared(self, samples: Sequence[Sample]) -> tuple[Sample, list[Sample]] | None:
        """A sample with the verdict of the winner, measured again, and samples of the same program that lack it: a kill
        may have torn the write of them all."""
        judged = self.judged(samples)
        among = len({s.program_digest for s in judged})
        has = next((s for s in judged if s.verdict is not None and s.verdict.remeasured_among == among), None)
        if has is None:
            return None
        lacking = [s for s in judged if s.program_digest == has.program_digest and s.verdict != has.verdict]
        return (has, lacking) if lacking else None

    def _index(self, sample: Sample) -> None:
        row = self._rows.get(sample.sample_id)
        if row is None:
            return
        key = (sample.task_id, sample.program_digest)
        old = self._by_program.get(key)
        if old is None or (row.has_timing and not old.has_timing):
            self._by_program[key] = row


class Judge:
    """Evaluates what is owed. side_by_side: cells that `cells` judges at a time, for an evaluator that can do it."""

    def __init__(
        self, ledger: Ledger, evaluator: Evaluator, plan: TimePlan, progress: Progress, *, side_by_side: int = 1
    ) -> None:
        self._ledger = ledger
        self._evaluator = evaluator
        self._plan = plan
        self._progress = progress
        self._side_by_side = side_by_side
        self._writing = threading.RLock()  # ledger and progress are for one thread at a time

    def cells(self, cells: Sequence[tuple[Task, int, Sequence[Sample]]]) -> None:
        """As `cell` for each of (task, seed, samples), of different tasks."""
        if self._side_by_side == 1 or len(cells) < 2:
            for task, seed, samples in cells:
                self.cell(task, seed, samples)
            return
        pool = ThreadPoolExecutor(min(self._side_by_side, len(cells)))
        try:
            for done in [pool.submit(self.cell, *cell) for cell in cells]:
                done.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def cell(self, task: Task, seed: int, samples: Sequence[Sample]) -> None:
        """Judges the samples of one task and seed, and times those that the plan says."""
        timed = self._plan.kind == "all"
        self._evaluate(task, seed, [s for s in samples if owes(self._ledger, s, timed=timed)], timed=timed)
        if self._plan.kind == "top":
            self._time_chosen(task, seed, samples)

    def winner(self, task: Task, samples: Sequence[Sample]) -> None:
        """Measures the best program of a task (all its seeds' samples) again, where one looks faster: the best of many
        is partly luck. Its new verdict replaces the old one."""
        if torn := self._ledger.unshared(samples):
            has, lacking = torn
            assert has.verdict is not None
            rows = {s.sample_id: VerdictRow(s.sample_id, has.verdict, True, has.sample_id) for s in lacking}
            self._ledger.write(rows, lacking)
        found = self._ledger.winner(samples)
        if found is None:
            return
        best, among = found
        self._progress.stage(f"measuring the best program of {task.id} again")
        verdict = self._evaluator.remeasure(task, best.program, among=among)
        if verdict.status is Status.INFRA_ERROR:
            self._progress.note(f"{task.id}: the best program could not be measured again: {verdict.message}")
            return
        same = [s for s in samples if s.program_digest == best.program_digest and s is not best]
        rows = {s.sample_id: VerdictRow(s.sample_id, verdict, True, best.sample_id) for s in same}
        rows[best.sample_id] = VerdictRow(best.sample_id, verdict, True)
        self._ledger.write(rows, [best, *same])

    def _time_chosen(self, task: Task, seed: int, samples: Sequence[Sample]) -> None:
        """Times the chosen programs; one that proves wrong under timing makes room for the next."""
        tried: set[str] = set()
        while True:
            chosen = chosen_programs(self._ledger, self._plan, seed, samples)
            owed = [
                s
                for s in samples
                if s.program_digest in chosen
                and s.program_digest not in tried
                and owes(self._ledger, s, timed=True)
                and self._ledger.row(s) is not None
            ]
            if not owed:
                return
            tried |= {s.program_digest for s in owed}
            self._evaluate(task, seed, owed, timed=True)

    def _evaluate(self, task: Task, seed: int, owed: Sequence[Sample], *, timed: bool) -> None:
        groups: dict[str, list[Sample]] = {}
        for sample in owed:
            groups.setdefault(sample.program_digest, []).append(sample)
        to_run: list[list[Sample]] = []
        with self._writing:
            for group in groups.values():
                known = self._ledger.of_program(group[0])
                if known is not None and (known.has_timing or not timed):
                    self._repeat(group, seed, known)
                else:
                    to_run.append(group)
            if not to_run:
                return
            self._progress.stage(f"evaluating {task.id}, seed {seed}")
        for position, verdict in self._evaluator.evaluate_many(task, [g[0].program for g in to_run], timed=timed):
            group = to_run[position]
            first = VerdictRow(group[0].sample_id, verdict, timed)
            with self._writing:
                self._write(group, seed, first, run=1)

    def _repeat(self, group: Sequence[Sample], seed: int, known: VerdictRow) -> None:
        self._write(group, seed, known, run=0)

    def _write(self, group: Sequence[Sample], seed: int, source: VerdictRow, *, run: int) -> None:
        """The verdict for the first `run` samples of the group, and its repetition for the others."""
        origin = source.duplicate_of or source.sample_id
        rows = {
            s.sample_id: VerdictRow(s.sample_id, source.verdict, source.timed, None if i < run else origin)
            for i, s in enumerate(group)
        }
        self._ledger.write(rows, group)
        for i, s in enumerate(group):
            self._progress.judged(s.task_id, seed, source.verdict, repeated=i >= run)


def owes(ledger: Ledger, sample: Sample, *, timed: bool) -> bool:
    """Whether a sample still needs a verdict; timed: one that also covers timing."""
    row = ledger.row(sample)
    return row is None or (timed and not row.has_timing)


def chosen_programs(ledger: Ledger, plan: TimePlan, seed: int, samples: Sequence[Sample]) -> set[str]:
    """Digests of the programs of a cell that a `top` plan times, chosen among the correct without timings."""
    candidates = to_candidates(ledger.judged(samples), "program")
    return set(plan.selector(seed).rank(candidates)[: plan.m])


def owed_verdicts(ledger: Ledger, plan: TimePlan, seed: int, samples: Sequence[Sample]) -> int:
    """How many samples of one cell `Judge.cell` would still have to judge or time."""
    missing = [s for s in samples if owes(ledger, s, timed=plan.kind == "all")]
    if missing or plan.kind != "top":
        return len(missing)
    chosen = chosen_programs(ledger, plan, seed, samples)
    return sum(s.program_digest in chosen and owes(ledger, s, timed=True) for s in samples)
