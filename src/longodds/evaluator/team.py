"""Several evaluators side by side, a leased core each: as many programs are judged at a time.

A program goes to an idle evaluator that has its task prepared already, if there is one. May be used by several threads;
nothing is shared between the evaluators but the cache of verdicts.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from types import TracebackType

from longodds.errors import UserError
from longodds.evaluator.cache import VerdictCache
from longodds.evaluator.controller import LocalEvaluator
from longodds.evaluator.cores import usable_cores
from longodds.evaluator.settings import EvaluatorSettings
from longodds.programs import program_digest
from longodds.types import Task, Verdict

_REMEMBERED = 4  # tasks that an oracle keeps prepared


class EvaluatorTeam:
    """Judges programs on several cores of this machine. Use it as a context manager.

    size: evaluators, at most one a core. cache: as LocalEvaluator's. Raises UserError for more than there are cores,
    and for a GPU, where programs that are timed at the same time would slow each other down.
    """

    def __init__(self, settings: EvaluatorSettings, size: int, cache: VerdictCache | None = None) -> None:
        if settings.device != "cpu":
            raise UserError(f"--eval-workers {size}: only on a CPU, not with --device {settings.device}; leave it out")
        cores = usable_cores()
        if size > cores:
            raise UserError(f"--eval-workers {size}: each needs a core, here are {cores}; use --eval-workers {cores}")
        self.settings, self.cache = settings, cache
        self._idle = threading.Condition()
        with ThreadPoolExecutor(size) as pool:  # each loads torch, for seconds
            opening = [pool.submit(LocalEvaluator, settings) for _ in range(size)]
        self._members = [future.result() for future in opening if future.exception() is None]
        failed = next((error for future in opening if (error := future.exception()) is not None), None)
        if failed is not None:
            self.close()
            raise failed
        self._free = list(self._members)
        self._known: dict[int, list[str]] = {id(member): [] for member in self._members}
        self.digest, self.isolation = self._members[0].digest, self._members[0].isolation

    def __enter__(self) -> EvaluatorTeam:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def size(self) -> int:
        return len(self._members)

    def evaluate(self, task: Task, program: str, *, timed: bool = True) -> Verdict:
        """As LocalEvaluator.evaluate, by the next idle evaluator."""
        if self.cache is not None:
            known = self.cache.get(task, program, self.digest, timed=timed)
            if known is not None:
                return known
        with self._borrowed(task) as member:
            verdict = member.evaluate(task, program, timed=timed)
        if self.cache is not None:
            self.cache.put(task, program, verdict, timed=timed)
        return verdict

    def evaluate_many(
        self, task: Task, programs: Sequence[str], *, timed: bool = True
    ) -> Iterator[tuple[int, Verdict]]:
        """Yields (position, verdict) as each is known; programs that are equal but for comments, formatting and locals
        are run once. Raises UserError for an unusable task."""
        places: dict[str, list[int]] = {}
        for position, program in enumerate(programs):
            places.setdefault(program_digest(program), []).append(position)
        pool = ThreadPoolExecutor(min(self.size, len(places)) or 1)
        try:
            asked = {pool.submit(self.evaluate, task, programs[same[0]], timed=timed): same for same in places.values()}
            for future in as_completed(asked):
                for position in asked[future]:
                    yield position, future.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def remeasure(self, task: Task, program: str, *, among: int) -> Verdict:
        """As LocalEvaluator.remeasure, by the next idle evaluator."""
        with self._borrowed(task) as member:
            return member.remeasure(task, program, among=among)

    def close(self) -> None:
        for member in self._members:
            member.close()

    @contextlib.contextmanager
    def _borrowed(self, task: Task) -> Generator[LocalEvaluator]:
        """An idle evaluator, waited for if need be; one that has the task prepared is preferred."""
        with self._idle:
            self._idle.wait_for(lambda: self._free)
            ready = (m for m in self._free if task.digest in self._known[id(m)])
            member = next(ready, self._free[0])
            self._free.remove(member)
            known = self._known[id(member)]
            if task.digest not in known:
                self._known[id(member)] = [*known, task.digest][-_REMEMBERED:]
        try:
            yield member
        finally:
            with self._idle:
                self._free.append(member)
                self._idle.notify()
