"""The evaluator as others see it: no torch here. Starts an oracle, asks it, restarts it, runs equal programs once.

What lasts belongs to this process: the folder that children's folders are made in, so that an oracle that is killed
leaves nothing behind; and the cache of verdicts.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from longodds.errors import InfraError, UserError
from longodds.evaluator.building import BuildPool
from longodds.evaluator.cache import VerdictCache
from longodds.evaluator.cores import usable_cores
from longodds.evaluator.forks import KEEPS_MEMORY, remove_tree
from longodds.evaluator.settings import EvaluatorSettings
from longodds.programs import program_digest
from longodds.types import TIMER_LABEL, Status, Task, Verdict

_RETRIES = 2
_START_S = 300.0
_CORES_A_BUILD = 2  # an extension has two files, compiled at the same time
_CORES_OF_TIMING = 4  # a GPU's calls are launched and waited for by the oracle, two processes and the driver's threads
_BELIEVED_AT_ONCE = {Status.CORRECT, Status.INCORRECT, Status.COMPILE_ERROR, Status.REJECTED}


class LocalEvaluator:
    """Judges programs on this machine through an oracle process of its own. Use it as a context manager.

    cache: verdicts that need not be reached again, and where new ones are kept (None: every program is run).
    """

    def __init__(self, settings: EvaluatorSettings, cache: VerdictCache | None = None) -> None:
        self.settings = settings
        self.cache = cache
        self.isolation: dict[str, str] = {}
        self.digest = ""
        self._process: subprocess.Popen[str] | None = None
        self._root: Path | None = None
        self._building: BuildPool | None = None
        self._start()

    def __enter__(self) -> LocalEvaluator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- the oracle -----------------------------------------------------------------------------

    def _start(self) -> None:
        source = str(Path(__file__).resolve().parents[2])
        boot = f"import sys; sys.path[:0] = {[source]!r}; from longodds.evaluator.serve import main; main()"
        self._root = Path(tempfile.mkdtemp(prefix="longodds-", dir=open_folder()))
        self._root.chmod(0o711)  # children that run as another user must get through to their own folders
        self._process = subprocess.Popen(
            [sys.executable, "-B", "-P", "-c", boot],  # -P: no file of the working directory stands for a library
            env=os.environ | KEEPS_MEMORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C reaches the controller alone, which ends the oracle in order
        )
        try:
            self._write({"settings": self.settings.to_json(), "root": str(self._root)})
            ready = self._read(_START_S)
        except BaseException:  # raised again: a process that was started must not be left, by Ctrl-C either
            self._stop()
            raise
        if "user_error" in ready:
            self._stop()
            raise UserError(ready["user_error"])
        self.digest, self.isolation = ready["ready"], ready["isolation"]
        if ready["arch"]:
            layers = [name for name, state in self.isolation.items() if state == "on"]
            workers = max(1, (usable_cores() - _CORES_OF_TIMING) // _CORES_A_BUILD)
            self._building = BuildPool(self.settings, self._root, layers, ready["arch"], workers)

    def _write(self, document: dict[str, Any]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(document) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise InfraError("the evaluator's oracle process ended") from None

    def _read(self, timeout_s: float) -> dict[str, Any]:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if not selector.select(timeout_s):
                raise InfraError(f"the evaluator's oracle process did not answer within {timeout_s:g} s")
        line = process.stdout.readline()
        if not line:
            assert process.stderr is not None
            process.wait()
            last = process.stderr.read().strip().splitlines()
            raise InfraError(f"the evaluator's oracle process ended: {last[-1] if last else 'no message'}")
        return json.loads(line)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """One request, the oracle restarted if it breaks. Raises UserError, and InfraError after retries."""
        last = ""
        for _ in range(1 + _RETRIES):
            try:
                if self._process is None or self._process.poll() is not None:
                    self._start()
                self._write(request)
                answer = self._read(self._patience())
            except InfraError as error:
                last = str(error)
                self._stop()
                continue
            if "user_error" in answer:
                raise UserError(answer["user_error"])
            if "infra_error" not in answer:
                return answer
            last = answer["infra_error"]
        raise InfraError(last)

    def _patience(self) -> float:
        s = self.settings
        return 4 * (s.compile_timeout_s + s.run_timeout_s + s.max_timing_s) + 120.0

    def _stop(self) -> None:
        """End the oracle, in order if it still can, and remove what its children left."""
        process, self._process = self._process, None
        root, self._root = self._root, None
        building, self._building = self._building, None
        if building is not None:
            building.close()
        if process is not None:
            self._end(process)
        if root is not None and root.exists():
            remove_tree(root)

    def _end(self, process: subprocess.Popen[str]) -> None:
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        try:
            process.wait(5.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()

    # --- the protocol ---------------------------------------------------------------------------

    def evaluate(self, task: Task, program: str, *, timed: bool = True) -> Verdict:
        """Verdict of one program, from the cache if it is there. Raises UserError for an unusable task.

        A timeout or a crash may be the machine's: it is run once more, alone, before it is believed. INFRA_ERROR when
        the machine can't judge; a program that alone breaks the evaluator has a RUNTIME_ERROR.
        """
        known = self._kept(task, program, timed=timed)
        if known is not None:
            return known
        self.compile_ahead([program])
        self._first_built(task, [program])
        verdict = self._judged(task, {"do": "judge", "task": _task(task), "program": program, "timed": timed})
        if self.cache is not None:
            self.cache.put(task, program, verdict, timed=timed)
        return verdict

    def _kept(self, task: Task, program: str, *, timed: bool) -> Verdict | None:
        return None if self.cache is None else self.cache.get(task, program, self.digest, timed=timed)

    def _judged(self, task: Task, request: dict[str, Any]) -> Verdict:
        start = time.monotonic()
        try:
            verdict = self._verdict(request)
            # Clocks can disagree by accident of the machine, or of its host: a program that cheats does so again.
            if verdict.status not in _BELIEVED_AT_ONCE or TIMER_LABEL in verdict.labels:
                verdict = self._verdict(request)
        except InfraError as error:
            verdict = self._who_broke_it(task, request, str(error))
        return replace(verdict, seconds=time.monotonic() - start)

    def _verdict(self, request: dict[str, Any]) -> Verdict:
        return Verdict.from_json(self._ask(request)["verdict"])

    def _who_broke_it(self, task: Task, request: dict[str, Any], why: str) -> Verdict:
        """A program failed with every oracle: its fault, if the unchanged reference is judged well right after it."""
        blank = Verdict(task.id, Status.INFRA_ERROR, isolation=self.isolation, evaluator=self.digest, message=why)
        try:
            control = self._verdict(request | {"program": unchanged(task)})
        except InfraError:
            return blank
        if not control.correct:
            return blank
        return replace(blank, status=Status.RUNTIME_ERROR, labels=("breaks_evaluator",))

    def evaluate_many(
        self, task: Task, programs: Sequence[str], *, timed: bool = True
    ) -> Iterator[tuple[int, Verdict]]:
        """Yields (position, verdict) as each is known; programs that are equal but for comments, formatting and locals
        are run once. For a GPU, those that compile C++ or CUDA are compiled ahead, and others judged meanwhile."""
        places: dict[str, list[int]] = {}
        for position, program in enumerate(programs):
            places.setdefault(program_digest(program), []).append(position)
        left = {programs[same[0]]: same for same in places.values()}
        if self._building is not None:
            self.compile_ahead([p for p in left if self._kept(task, p, timed=timed) is None])
        while left:
            waiting = list(left)
            program = waiting[self._first_built(task, waiting)]
            verdict = self.evaluate(task, program, timed=timed)
            for position in left.pop(program):
                yield position, verdict

    def compile_ahead(self, programs: Sequence[str]) -> None:
        """For a GPU, those that compile C++ or CUDA are compiled from now on, several at a time. Returns at once."""
        if self._building is not None:
            self._building.expect(programs)

    def _first_built(self, task: Task, programs: Sequence[str]) -> int:
        """Place of the first that is not being compiled. If all are, the task is prepared and one waited for."""
        building = self._building
        if building is None:
            return 0
        if building.at_work(programs):
            with contextlib.suppress(InfraError):  # if it lasts, judging says so
                self.describe(task)
        return building.first(programs)

    def describe(self, task: Task) -> dict[str, Any]:
        """How the oracle judges a task: laws used and dropped, labels, tolerances, seconds to prepare, and on a GPU
        the microseconds below which no call is believed."""
        return self._ask({"do": "describe", "task": _task(task)})["problem"]

    def remeasure(self, task: Task, program: str, *, among: int) -> Verdict:
        """The verdict on the best of `among` distinct programs of a task: timed again, in processes that nothing has
        been timed in, its interval at 1 % divided by `among`. Raises UserError for an unusable task."""
        return self._judged(task, {"do": "remeasure", "task": _task(task), "program": program, "among": among})

    def evaluate_slowed(self, task: Task, program: str, share: float) -> Verdict:
        """As `evaluate`, against a reference whose calls take longer by `share` of their time: a planted gain."""
        request = {"do": "judge", "task": _task(task), "program": program, "timed": True, "slowed_by": share}
        return self._judged(task, request)

    def process_pair(
        self, task: Task, program: str, *, process: int, count: int, renew: bool = False
    ) -> dict[str, Any]:
        """Raw timings of one fresh process pair on fork server `process` (1 or 2): log ratios `d`, `launches` of the
        reference in a call (0 on a CPU), and if there are any `d` the median microseconds of a call, `reference_us` and
        `runtime_us`.

        renew: both fork servers are started anew before. Raises UserError, InfraError."""
        request = {"do": "pairs", "task": _task(task), "program": program, "process": process, "count": count}
        return self._ask(request | {"renew": renew})["pairs"]

    def naive_speedups(self, task: Task, programs: Sequence[str]) -> dict[str, list[float]]:
        """Speedups of these programs by means over repeated calls: `sequential`, reference first, and `together`, all
        at once. What the sound way is compared with. Raises UserError, InfraError."""
        return self._ask({"do": "naive", "task": _task(task), "programs": list(programs)})["speedups"]

    def close(self) -> None:
        self._stop()


def unchanged(task: Task) -> str:
    """The reference as a candidate program: what an A/A control times."""
    return task.reference + "\n\nclass ModelNew(Model):\n    pass\n"


def open_folder() -> Path:
    """Where children's folders go: the usual temporary folder, or /tmp where a private uid could not enter that one."""
    usual = Path(tempfile.gettempdir()).resolve()
    closed = any(not p.stat().st_mode & 0o001 for p in (usual, *usual.parents))
    return Path("/tmp") if closed and Path("/tmp").is_dir() else usual


def _task(task: Task) -> dict[str, Any]:
    return {"id": task.id, "suite": task.suite, "reference": task.reference, "digest": task.digest}
