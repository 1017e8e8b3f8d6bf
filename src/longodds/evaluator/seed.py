"""`--evaluator seed`: KernelBench's way of judging, for comparison only. Its verdicts never have an interval.

The process that runs reference and program together is sandboxed like any other; what it says is believed.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from longodds.errors import InfraError
from longodds.evaluator.controller import open_folder
from longodds.evaluator.forks import ForkServers, remove_tree
from longodds.evaluator.frames import Fault, Frame, Kind
from longodds.evaluator.process import ChildEnded, ChildMemory, ChildTimeout, Process, last_words
from longodds.evaluator.settings import VERSION, EvaluatorSettings, device_name
from longodds.programs import program_digest
from longodds.types import SEED_LABEL, Status, Task, Verdict

TRIALS = {"fast": (1, 5), "full": (5, 50)}  # compared inputs, timed calls
_FAULTS = {
    Fault.COMPILE: Status.COMPILE_ERROR,
    Fault.STRUCTURE: Status.INCORRECT,
    Fault.WEIGHTS: Status.INCORRECT,
    Fault.RUNTIME: Status.RUNTIME_ERROR,
    Fault.MEMORY: Status.RUNTIME_ERROR,
}


class SeedEvaluator:
    """Judges in one process for reference and program, several programs at once if asked to. A context manager.

    mode: how many inputs are compared and calls timed, KERNELBENCH_EVAL_MODE. workers: programs judged at the same
    time, each disturbing the others' timings. Raises InfraError if the fork server does not start.
    """

    def __init__(
        self, settings: EvaluatorSettings, *, mode: Literal["fast", "full"] = "full", workers: int = 1
    ) -> None:
        self.settings, self.trials, self.workers = settings, TRIALS[mode], workers
        self._root = Path(tempfile.mkdtemp(prefix="longodds-", dir=open_folder()))
        self._root.chmod(0o711)
        self._servers = ForkServers(settings, self._root, way="seed")
        self._forking = threading.Lock()
        try:
            self.isolation = self._servers.isolation
        except InfraError:
            self.close()
            raise
        self.digest = _digest(settings, self.trials, workers)

    def __enter__(self) -> SeedEvaluator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._servers.close()
        if self._root.exists():
            remove_tree(self._root)

    def evaluate(self, task: Task, program: str, *, timed: bool = True) -> Verdict:
        """Verdict of one program: speedup is the ratio of two means; interval and clock bound are None."""
        start = time.monotonic()
        blank = Verdict(task.id, Status.CORRECT, labels=(SEED_LABEL,), isolation=self.isolation, evaluator=self.digest)
        try:
            verdict = self._judge(task, program, blank, timed=timed)
        except InfraError as error:
            verdict = replace(blank, status=Status.INFRA_ERROR, message=str(error))
        return replace(verdict, seconds=time.monotonic() - start)

    def remeasure(self, task: Task, program: str, *, among: int) -> Verdict:
        """One more run: this way of judging knows no level that `among` could be divided into."""
        del among
        return self.evaluate(task, program)

    def evaluate_many(
        self, task: Task, programs: Sequence[str], *, timed: bool = True
    ) -> Iterator[tuple[int, Verdict]]:
        """Yields (position, verdict) as each is known; programs that are equal but for comments, formatting and
        locals are run once."""
        positions: dict[str, list[int]] = {}
        for position, program in enumerate(programs):
            positions.setdefault(program_digest(program), []).append(position)
        with ThreadPoolExecutor(self.workers) as pool:
            work = {pool.submit(self.evaluate, task, programs[at[0]], timed=timed): at for at in positions.values()}
            try:
                for done in as_completed(work):
                    verdict = done.result()
                    yield from ((position, verdict) for position in work[done])
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _judge(self, task: Task, program: str, blank: Verdict, *, timed: bool) -> Verdict:
        config: dict[str, Any] = {"reference": task.reference, "trials": self.trials, "timed": timed}
        null = os.open(os.devnull, os.O_RDONLY)
        try:
            with self._forking:
                zygote = self._servers.get(0)
                process = Process(zygote.fork(program, config, null, null), zygote.memory_bytes)
        finally:
            os.close(null)
        try:
            frame = process.wait(self.settings.import_timeout_s + self.settings.run_timeout_s)
        except ChildTimeout as timeout:
            return replace(blank, status=Status.TIMEOUT, message=str(timeout))
        except ChildMemory as memory:
            labels = (*blank.labels, "out_of_memory")
            return replace(blank, status=Status.RUNTIME_ERROR, message=str(memory), labels=labels)
        except ChildEnded as ended:
            message = f"{ended}: {last_words(process)}".rstrip(": ")
            return replace(blank, status=Status.RUNTIME_ERROR, message=message)
        finally:
            process.close()
        return _read(frame, blank)


def _read(frame: Frame, blank: Verdict) -> Verdict:
    if frame.kind is not Kind.DONE:
        fault = Fault(frame.code) if frame.code in Fault._value2member_map_ else Fault.RUNTIME
        text = "".join(c if c.isprintable() else " " for c in frame.text)[:2000].strip()
        return replace(blank, status=_FAULTS[fault], message=text)
    if len(frame.words) != 2:
        return blank
    reference, new = (max(w, 1) / 1e3 for w in frame.words)
    return replace(blank, speedup=reference / new, reference_us=reference, runtime_us=new)


def _digest(settings: EvaluatorSettings, trials: tuple[int, int], workers: int) -> str:
    document = {
        "evaluator": "seed",
        "version": VERSION,
        "trials": trials,
        "workers": workers,
        "device": settings.device,
        "timeouts": (settings.import_timeout_s, settings.run_timeout_s),
        "memory": settings.memory_bytes,
        "processor": device_name(),
        "torch": metadata.version("torch"),
        "python": platform.python_version(),
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]
