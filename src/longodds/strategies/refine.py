"""Sequential revision: an attempt is judged, and the next one is told what came of it.

Attempts of a cell (task x seed) are numbered in the order of drawing, turn by turn: attempt i belongs to sequence i mod
`chains`, at turn i div `chains`, which is its `step`. A prompt follows from stored attempts and their stored verdicts
alone, and noise from the attempt's number, so that a run that was killed goes on as if it had not been.

Matched with Best-of-N by tokens: every prompt counts, and no cell takes more than its budget (`tokens`, or what a
Best-of-N run took on that task).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longodds.errors import UserError
from longodds.prompts import Attempt, feedback, revision_prompt, written_code
from longodds.store import RunDir
from longodds.strategies.best_of_n import Outcome
from longodds.strategies.budget import Budget
from longodds.strategies.cells import by_cell, cell_metrics
from longodds.strategies.judging import Judge, Ledger
from longodds.strategies.matching import match_budgets
from longodds.strategies.planning import choose_tasks, parse_time
from longodds.strategies.progress import Progress, Silent
from longodds.strategies.resuming import Owed, check_tasks, opened, sampling_params
from longodds.strategies.sampling import Asked, Sampler, ask

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from longodds.strategies.refine_settings import RefineSettings
    from longodds.types import Evaluator, Policy, Sample, Task, Verdict

STRATEGY = "refine"


def refine(
    path: Path | str,
    settings: RefineSettings,
    *,
    policy: Policy | None = None,
    evaluator: Evaluator | None = None,
    tasks: Sequence[Task] | None = None,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Runs, or resumes, sequential revision in the run directory `path`.

    policy, evaluator, tasks: used instead of those that the settings name (and left open). Raises UserError for the
    caller's mistakes, InfraError when policy or evaluator fail; the run is resumable always.
    """
    path = Path(path)
    progress = progress or Silent()
    chosen = list(tasks) if tasks is not None else choose_tasks(settings, note=progress.note)
    budgets = match_budgets(settings.match, chosen) if settings.match is not None else None
    matched = None if budgets is None else sum(budgets.values())
    config: dict[str, Any] = {"kind": STRATEGY, **settings.identity(), "matched_tokens": matched}
    resumes = RunDir.check(path, config)
    asked = ask(chosen, settings)
    owed = _what_is_owed(path, asked, settings) if resumes else Owed(True, True)
    with opened(path, settings, config, asked, owed, policy, evaluator, progress) as (run, policy, evaluator):
        return _Refining(run, settings, asked, budgets, policy, evaluator, progress, clock).go()


def _what_is_owed(path: Path, asked: Sequence[Asked], settings: RefineSettings) -> Owed:
    run = RunDir.open(path)
    check_tasks(run, asked)
    samples = run.samples()
    done = {(m.get("task_id"), m.get("seed")) for m in run.metrics()}
    missing = any((a.task.id, seed) not in done for a in asked for seed in settings.seeds)
    ledger = Ledger(run, samples)
    best = any(ledger.winner([s for s in samples if s.task_id == a.task.id]) is not None for a in asked)
    return Owed.of(samples, samples=missing, verdicts=missing or best)


class _Refining:
    def __init__(
        self,
        run: RunDir,
        settings: RefineSettings,
        asked: Sequence[Asked],
        budgets: Mapping[str, int] | None,
        policy: Policy | None,
        evaluator: Evaluator | None,
        progress: Progress,
        clock: Callable[[], float],
    ) -> None:
        self._run, self._settings, self._asked, self._budgets = run, settings, asked, budgets
        self._policy, self._progress = policy, progress
        self._budget = Budget(run, settings, progress, clock)
        samples = run.samples()
        self._ledger = Ledger(run, samples)
        self._judge = Judge(self._ledger, evaluator, parse_time(settings.time), progress) if evaluator else None
        self._cells = by_cell(samples)
        self._done = {(str(m.get("task_id")), m.get("seed")) for m in run.metrics()}
        self._unusable: dict[str, str] = {}
        self._sampler = None
        if policy is not None:
            self._sampler = Sampler(
                run,
                policy,
                sampling_params(settings),
                strategy=STRATEGY,
                style=settings.style,
                batch_size=settings.batch_size,
                progress=progress,
                admit=self._budget.admit,
            )

    def go(self) -> Outcome:
        s = self._settings
        drawn = [sample for cell in self._cells.values() for sample in cell]
        counted = s.tokens is None and self._budgets is None
        self._progress.begin(
            cells=len(s.seeds) * len(self._asked),
            samples=s.k * len(s.seeds) * len(self._asked) if counted else len(drawn),
            sampled=len(drawn),
            judged=sum(self._ledger.row(sample) is not None for sample in drawn),
        )
        for asked in self._asked:
            for seed in s.seeds:
                if asked.task.id not in self._unusable:
                    self._cell(asked, seed)
            self._remeasure(asked.task)
        cells = {(a.task.id, seed): self._cells.get((a.task.id, seed), []) for a in self._asked for seed in s.seeds}
        open_ = [key for key in cells if key not in self._done]
        samples = sum(map(len, cells.values()))
        missing = sum(max(s.k - len(cells[key]), 0) if counted else 1 for key in open_)
        return Outcome(
            path=self._run.path,
            expected=samples + missing,
            samples=samples,
            unjudged=sum(self._unjudged(cell) for key, cell in cells.items() if key[0] not in self._unusable),
            stopped=self._budget.stopped,
            resumed=self._run.resumed,
            unusable=self._unusable,
        )

    # --- one cell -----------------------------------------------------------------------------------

    def _cell(self, asked: Asked, seed: int) -> None:
        """Turn after turn until the cell is full, a budget of the attempt is used up, or a verdict can't be had."""
        key = (asked.task.id, seed)
        if key in self._done or self._sampler is None or self._judge is None:
            return
        cell = self._cells.setdefault(key, [])
        turn = 0
        while True:
            full = self._turn(asked, seed, turn, cell)
            try:
                self._judge.cell(asked.task, seed, cell)
                if self._unjudged(cell):
                    self._judge.cell(asked.task, seed, cell)  # the infrastructure gets one more chance
            except UserError as e:
                self._unusable[asked.task.id] = str(e)
                self._progress.note(f"{asked.task.id} cannot be judged by: {e}")
                return
            if full is None or self._unjudged(cell):
                return
            if full:
                break
            turn += 1
        self._run.append_metrics(cell_metrics(STRATEGY, self._ledger.judged(cell)))
        self._done.add(key)

    def _turn(self, asked: Asked, seed: int, turn: int, cell: list[Sample]) -> bool | None:
        """Draws what one turn owes. True: the cell is full; None: sampling had to stop before that."""
        assert self._sampler is not None
        chains, limited = self._settings.chains, self._limit(asked.task) is not None
        numbers = [turn * chains + c for c in range(chains)]
        if not limited:
            numbers = [i for i in numbers if i < self._settings.k]
        have = {s.index for s in cell}
        # The first turn has one prompt for all, and is drawn together.
        groups = [numbers] if turn == 0 else [[i] for i in numbers]
        for group in groups:
            prompt, parents = self._prompt(asked, cell, group[0], turn) if group else (asked.prompt, ())
            at_most = self._room(asked, Asked(asked.task, prompt), cell, group) if limited else None
            if at_most is not None and at_most < 1:
                if not cell:
                    raise UserError(
                        f"{asked.task.id}: its prompt leaves no token of {self._limit(asked.task)}; raise --tokens"
                    )
                return True
            if owed := [i for i in group if i not in have]:
                there = Asked(asked.task, prompt)
                drawn = self._sampler.draw(there, seed=seed, step=turn, indices=owed, parents=parents, at_most=at_most)
                cell += drawn
                if len(drawn) < len(owed):
                    return None
        return not limited and (turn + 1) * chains >= self._settings.k

    def _prompt(self, asked: Asked, cell: Sequence[Sample], index: int, turn: int) -> tuple[Any, tuple[str, ...]]:
        """The prompt of an attempt, and the ids of those that it shows."""
        chains = self._settings.chains
        earlier = self._ledger.judged(s for s in cell if s.index % chains == index % chains and s.step < turn)
        if not earlier:
            return asked.prompt, ()
        ordered = sorted(earlier, key=lambda s: s.index)
        if self._settings.revise == "best":
            ordered.sort(key=lambda s: worth(s.verdict) if s.verdict is not None else (False, 0.0))
        shown = ordered[-self._settings.history :]
        attempts = [
            Attempt(written_code(s.completion.text, asked.task, self._settings.style), feedback(s.verdict))
            for s in shown
            if s.verdict is not None
        ]
        return revision_prompt(asked.task, asked.prompt, attempts), tuple(s.sample_id for s in shown)

    # --- tokens -------------------------------------------------------------------------------------

    def _limit(self, task: Task) -> int | None:
        """Tokens that a cell of the task may take; None: attempts are counted instead."""
        return self._settings.tokens if self._budgets is None else self._budgets[task.id]

    def _room(self, asked: Asked, there: Asked, cell: Sequence[Sample], group: Sequence[int]) -> int:
        """New tokens for each attempt of a group: what `max_tokens` and the cell's budget leave after the attempts
        before it and its prompt. It follows from earlier attempts alone, so that a resumed run draws the same."""
        assert self._policy is not None
        limit = self._limit(asked.task)
        assert limit is not None
        before = [s for s in cell if s.index < group[0]]
        spent = len(self._policy.encode(asked.prompt)) if before else 0
        for s in before:
            spent += (s.prompt_tokens or 0) + len(s.completion.token_ids) + s.completion.dropped_tokens
        left = limit - spent - len(self._policy.encode(there.prompt))
        return min(self._settings.max_tokens, left // len(group))

    # --- the rest -----------------------------------------------------------------------------------

    def _remeasure(self, task: Task) -> None:
        """Once all its cells are done, the decision on a task rests on its winner, measured again."""
        whole = all((task.id, seed) in self._done for seed in self._settings.seeds)
        if whole and self._judge is not None and task.id not in self._unusable:
            self._judge.winner(task, [s for (t, _), cell in self._cells.items() if t == task.id for s in cell])

    def _unjudged(self, cell: Sequence[Sample]) -> int:
        return sum(self._ledger.row(s) is None for s in cell)


def worth(verdict: Verdict) -> tuple[bool, float]:
    """By what attempts are ranked: correct before wrong, then the speedup that is sure (0 where none was measured)."""
    return verdict.correct, (verdict.ci_low or verdict.speedup or 0.0) if verdict.correct else 0.0
