"""Best-of-N: K samples per task and seed, every one judged, in a run directory that survives a kill at any moment.

The run is a list of cells (task x seed). A cell is sampled, then judged, then summed up; what a cell owes is read
from the run itself, so resuming is running again. Sampling and judging meet only in `go`: where they don't take the
same device from each other, the next cells are sampled while earlier ones are judged.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from longodds.errors import UserError
from longodds.store import RunDir, owed_indices
from longodds.strategies.ahead import Ahead
from longodds.strategies.budget import Budget
from longodds.strategies.cells import by_cell, cell_metrics
from longodds.strategies.early import LOOK_EVERY, expected_gain
from longodds.strategies.judging import Judge, Ledger, owed_verdicts
from longodds.strategies.planning import TimePlan, choose_tasks, may_overlap, parse_time
from longodds.strategies.progress import OneAtATime, Progress, Silent
from longodds.strategies.resuming import Owed, check_tasks, opened, sampling_params
from longodds.strategies.sampling import Asked, Sampler, ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from longodds.config import BestOfNSettings
    from longodds.types import Evaluator, Policy, Sample, Task

STRATEGY = "best_of_n"
STEP = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt left behind.

    samples of expected have been drawn; unjudged of them have no verdict (the infrastructure failed); stopped:
    the budget that ended sampling (`max_seconds`, `max_cost`), or None; resumed: whether the run was there before;
    unusable: task id -> why the evaluator cannot judge by it (its samples have no verdict either).
    """

    path: Path
    expected: int
    samples: int
    unjudged: int
    stopped: str | None = None
    resumed: bool = False
    unusable: Mapping[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return self.samples == self.expected and self.unjudged == 0 and not self.unusable


def best_of_n(
    path: Path | str,
    settings: BestOfNSettings,
    *,
    policy: Policy | None = None,
    evaluator: Evaluator | None = None,
    tasks: Sequence[Task] | None = None,
    progress: Progress | None = None,
    re_evaluate: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Runs, or resumes, Best-of-N in the run directory `path`.

    policy, evaluator, tasks: used instead of those that the settings name (and left open).
    re_evaluate: verdicts made by another evaluator (device, settings, versions) are measured again; without it a run
    that has such verdicts and still owes some is refused, because the two could not be compared.
    Nothing is written before tasks, policy and evaluator are known to be usable. Raises UserError for the caller's
    mistakes, InfraError when policy or evaluator fail; KeyboardInterrupt passes through. The run is resumable always.
    """
    path = Path(path)
    progress = progress or Silent()
    plan = parse_time(settings.time)
    config = settings.identity()
    resumes = RunDir.check(path, config)
    chosen = list(tasks) if tasks is not None else choose_tasks(settings, note=progress.note)
    asked = ask(chosen, settings)
    owed = _what_is_owed(path, asked, settings, plan, re_evaluate) if resumes else Owed(True, True)
    with opened(path, settings, config, asked, owed, policy, evaluator, progress, re_evaluate=re_evaluate) as (
        run,
        policy,
        evaluator,
    ):
        return _Attempt(run, settings, plan, asked, policy, evaluator, progress, re_evaluate, clock).go()


# --- what an earlier attempt left to do --------------------------------------------------------


def _what_is_owed(
    path: Path, asked: Sequence[Asked], settings: BestOfNSettings, plan: TimePlan, re_evaluate: bool
) -> Owed:
    run = RunDir.open(path)
    check_tasks(run, asked)
    samples = run.samples()
    have = {s.sample_id for s in samples}
    ended = ended_early(run)
    records = run.records()
    missing = any(a.task.id not in records for a in asked) or any(
        _owed_of(a.task, seed, ended.get((a.task.id, seed), settings.k), have) for a in asked for seed in settings.seeds
    )
    ledger = Ledger(run, samples)
    cells = by_cell(samples)
    unjudged = any(owed_verdicts(ledger, plan, seed, cell) for (_, seed), cell in cells.items())
    by_task: dict[str, list[Sample]] = {}
    for sample in samples:
        by_task.setdefault(sample.task_id, []).append(sample)
    unjudged = unjudged or any(ledger.winner(cells) or ledger.unshared(cells) for cells in by_task.values())
    return Owed.of(samples, samples=missing, verdicts=missing or unjudged or re_evaluate)


def ended_early(run: RunDir) -> dict[tuple[str, int], int]:
    """(task id, seed) -> samples, of cells that an early stop ended."""
    return {(str(m["task_id"]), int(m["seed"])): int(m["n"]) for m in run.metrics() if "expected_gain" in m}


def _owed_of(task: Task, seed: int, k: int, have: set[str]) -> list[int]:
    return owed_indices(task, seed=seed, strategy=STRATEGY, step=STEP, k=k, have=have)


# --- one attempt -------------------------------------------------------------------------------


class _Attempt:
    def __init__(
        self,
        run: RunDir,
        settings: BestOfNSettings,
        plan: TimePlan,
        asked: Sequence[Asked],
        policy: Policy | None,
        evaluator: Evaluator | None,
        progress: Progress,
        re_evaluate: bool,
        clock: Callable[[], float],
    ) -> None:
        self._run = run
        self._settings = settings
        self._plan = plan
        self._asked = asked
        self._ahead = Ahead()
        self._progress = progress = OneAtATime(progress, self._ahead.check)
        self._budget = Budget(run, settings, progress, clock)
        self._unusable: dict[str, str] = {}
        samples = run.samples()
        self._cells = by_cell(samples)
        accept = evaluator.digest if re_evaluate and evaluator is not None else None
        self._ledger = Ledger(run, samples, accept=accept)
        self._judge = Judge(self._ledger, evaluator, plan, progress) if evaluator is not None else None
        self._sampler = self._open_sampler(policy) if policy is not None else None
        self._overlap = policy is not None and evaluator is not None and may_overlap(policy, plan, settings.device)
        self._overlap = self._overlap and settings.stop_gain is None  # what is drawn next depends on verdicts
        self._ended = ended_early(run)
        self._gains: dict[tuple[str, int], float] = {}
        self._current: Task | None = None
        self._finished = 0  # samples of cells that need not be kept in memory
        self._summed = {(m.get("task_id"), m.get("seed")) for m in run.metrics()}

    def _open_sampler(self, policy: Policy) -> Sampler:
        s = self._settings
        return Sampler(
            self._run,
            policy,
            sampling_params(s),
            strategy=STRATEGY,
            style=s.style,
            batch_size=s.batch_size,
            progress=self._progress,
            admit=self._budget.admit,
        )

    def go(self) -> Outcome:
        s = self._settings
        drawn = [sample for cell in self._cells.values() for sample in cell]
        self._progress.begin(
            cells=len(s.seeds) * len(self._asked),
            samples=self._expected(),
            sampled=len(drawn),
            judged=sum(self._ledger.row(sample) is not None for sample in drawn),
        )
        if self._overlap:
            self._ahead.run(self._sampled_cells(), self._settle_next)
        else:
            for cell in self._sampled_cells():
                self._settle_next(cell)
        self._finish_task()
        unjudged = self._retry()
        return Outcome(
            path=self._run.path,
            expected=self._expected(),
            samples=self._finished + sum(len(cell) for cell in self._cells.values()),
            unjudged=unjudged,
            stopped=self._budget.stopped,
            resumed=self._run.resumed,
            unusable=self._unusable,
        )

    def _wanted(self, task_id: str, seed: int) -> int:
        """Samples that a cell shall have: K, or as many as it had when an early stop ended it."""
        return self._ended.get((task_id, seed), self._settings.k)

    def _expected(self) -> int:
        return sum(self._wanted(a.task.id, seed) for a in self._asked for seed in self._settings.seeds)

    def _sampled_cells(self) -> Iterator[tuple[Task, int, list[Sample]]]:
        """Every cell with all samples that it could get. Tasks are outermost: an evaluator prepares a task once."""
        for asked in self._asked:
            for seed in self._settings.seeds:
                if asked.task.id in self._unusable:
                    break  # found out after its first cell: no more samples that could not be judged
                cell = self._cells.setdefault((asked.task.id, seed), [])
                for end in self._looks(asked.task, seed):
                    have = {s.sample_id for s in cell}
                    owed = _owed_of(asked.task, seed, end, have)
                    if owed and self._sampler is not None:
                        cell += self._sampler.draw(asked, seed=seed, step=STEP, indices=owed)
                    if cell:
                        yield asked.task, seed, cell
                    if self._ends_early(asked.task, seed, cell, end):
                        yield asked.task, seed, cell  # again: it is whole now
                        break

    def _looks(self, task: Task, seed: int) -> Iterable[int]:
        """Numbers of samples after which a cell is judged before more are drawn."""
        wanted = self._wanted(task.id, seed)
        return (wanted,) if self._settings.stop_gain is None else (*range(LOOK_EVERY, wanted, LOOK_EVERY), wanted)

    def _ends_early(self, task: Task, seed: int, cell: Sequence[Sample], end: int) -> bool:
        """Whether a cell that has just `end` samples, all judged, is to get no more. One that has more went on."""
        limit, key = self._settings.stop_gain, (task.id, seed)
        if limit is None or len(cell) != end or end == self._settings.k or key in self._ended:
            return False
        gain = expected_gain(self._ledger.judged(cell)) if not self._unjudged(cell) else None
        if gain is None or gain >= limit or task.id in self._unusable:
            return False
        self._ended[key], self._gains[key] = end, gain
        saved = self._settings.k - end
        self._progress.note(f"{task.id}, seed {seed}: {gain:.1%} is expected of 8 more samples; {saved} are not drawn")
        return True

    def _settle(self, task: Task, seed: int, samples: Sequence[Sample]) -> None:
        owed = self._judge is not None and owed_verdicts(self._ledger, self._plan, seed, samples) > 0
        if self._judge is not None and owed:
            try:
                self._judge.cell(task, seed, samples)
            except UserError as e:
                self._unusable[task.id] = str(e)
                self._progress.note(f"{task.id} cannot be judged by: {e}")
                return
        judged = self._ledger.judged(samples)
        whole = len(samples) == self._wanted(task.id, seed) and len(judged) == len(samples)
        if whole and (owed or (task.id, seed) not in self._summed):
            ended = self._ended.get((task.id, seed)) is not None
            gain = {"expected_gain": self._gains.get((task.id, seed), 0.0)} if ended else {}
            self._run.append_metrics({**cell_metrics(STRATEGY, judged), **gain})
            self._summed.add((task.id, seed))

    def _settle_next(self, cell: tuple[Task, int, list[Sample]]) -> None:
        """The next cell; the first of another task ends the one before."""
        if self._current is not None and self._current.id != cell[0].id:
            self._finish_task()
        self._current = cell[0]
        self._settle(*cell)

    def _finish_task(self) -> None:
        """What can only be done when all cells of a task are judged; they leave memory then."""
        task, self._current = self._current, None
        if task is None:
            return
        self._remeasure(task)
        cells = [self._cells.get((task.id, seed), []) for seed in self._settings.seeds]
        whole = self._is_whole(task) and not any(map(self._unjudged, cells))
        if whole and task.id not in self._unusable:
            self._finished += sum(len(cell) for cell in cells)
            for seed in self._settings.seeds:
                del self._cells[task.id, seed]

    def _remeasure(self, task: Task) -> None:
        """At K = n the decision on a task rests on its winner, measured again."""
        samples = [s for (task_id, _), cell in self._cells.items() if task_id == task.id for s in cell]
        whole = self._is_whole(task) and not self._unjudged(samples)
        if whole and self._judge is not None and task.id not in self._unusable:
            self._judge.winner(task, samples)

    def _is_whole(self, task: Task) -> bool:
        """Whether all cells of a task have the samples that they shall have."""
        seeds = self._settings.seeds
        return all(len(self._cells.get((task.id, seed), [])) == self._wanted(task.id, seed) for seed in seeds)

    def _retry(self) -> int:
        """Cells that the infrastructure failed get one more chance; returns how many samples still have no verdict."""
        tasks = {a.task.id: a.task for a in self._asked}
        cells = ((key, cell) for key, cell in self._cells.items() if key[0] not in self._unusable)
        failed = {key: cell for key, cell in cells if self._unjudged(cell)}
        if failed and self._judge is not None:
            count = sum(self._unjudged(cell) for cell in failed.values())
            self._progress.note(f"{count} samples got no verdict (the infrastructure failed); trying them again")
            for (task_id, seed), cell in failed.items():
                self._settle(tasks[task_id], seed, cell)
                self._remeasure(tasks[task_id])
        return sum(self._unjudged(cell) for cell in failed.values())

    def _unjudged(self, cell: Sequence[Sample]) -> int:
        return sum(self._ledger.row(s) is None for s in cell)
