"""Compiles ahead of the device: extensions are compiled in sandboxes of their own on the CPU cores, before their
programs' turn, and kept for the processes that judge them. No torch here.

Where a program's text tells what it compiles, that alone is compiled, once for all programs with the same calls; else
the program is loaded, and what it compiled is kept for itself.
"""

from __future__ import annotations

import functools
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from longodds.errors import InfraError
from longodds.evaluator.builds import Builds
from longodds.evaluator.extensions import alone, calls, compiles
from longodds.evaluator.forks import Zygote, hidden_folders
from longodds.evaluator.frames import Kind
from longodds.evaluator.process import ChildEnded, ChildMemory, ChildTimeout, Process
from longodds.evaluator.settings import EvaluatorSettings

_NOT_BUILT = "Error building extension"  # as PyTorch says it: a compiler's, not of loading without a GPU


class BuildPool:
    """root: the evaluator's folder. layers: of the sandbox, those that hold here. arch: that CUDA code is compiled for.
    workers: programs at a time. Close it."""

    def __init__(self, settings: EvaluatorSettings, root: Path, layers: Sequence[str], arch: str, workers: int) -> None:
        self.settings = settings
        self._builds = Builds(root / "builds")
        self._zygote = Zygote(
            None, settings.memory_limit(), root, tuple(layers), hidden_folders(settings), way="build", arch=arch
        )
        self._forking = threading.Lock()
        self._pool = ThreadPoolExecutor(workers)
        self._asked: dict[str, Future[None]] = {}

    def expect(self, programs: Sequence[str]) -> None:
        """These are to be judged soon; returns at once."""
        for program in programs:
            work = _work(program)
            if compiles(program) and work not in self._asked:
                self._zygote.start()
                self._asked[work] = self._pool.submit(self._build, work)

    def at_work(self, programs: Sequence[str]) -> bool:
        """Whether all of these were expected and none is built yet."""
        return all(asked is not None and not asked.done() for asked in self._of(programs))

    def first(self, programs: Sequence[str]) -> int:
        """Place of the first of these that is built, failed to be, or was not expected; waits until there is one."""
        while self.at_work(programs):
            wait((asked for asked in self._of(programs) if asked is not None), return_when=FIRST_COMPLETED)
        return next(i for i, asked in enumerate(self._of(programs)) if asked is None or asked.done())

    def _of(self, programs: Sequence[str]) -> list[Future[None] | None]:
        return [self._asked.get(_work(program)) for program in programs]

    def _build(self, program: str) -> None:
        null = os.open(os.devnull, os.O_RDWR)
        try:
            with self._forking:
                forked = self._zygote.fork(program, {"entry": "ModelNew"}, null, null)
        except InfraError:  # its own process will have to compile it
            return
        finally:
            os.close(null)
        process = Process(forked, self._zygote.memory_bytes)
        try:
            frame = process.wait_for_compiler(self.settings.import_timeout_s, self.settings.compile_timeout_s)
            signal.pidfd_send_signal(forked.pidfd, signal.SIGSTOP)
            if frame.kind is Kind.READY:
                self._builds.keep(program, forked.pid, forked.caches)
            elif alone(program) == program and len(made := calls(program) or ()) == 1 and _NOT_BUILT in frame.text:
                self._builds.fail(made[0], frame.text.removeprefix("RuntimeError: "))
        except (ChildEnded, ChildMemory, ChildTimeout, ProcessLookupError):
            return  # whoever judges it will see the same, and say so
        finally:
            process.close()

    def close(self) -> None:
        self._zygote.close()  # ends those at work
        self._pool.shutdown(cancel_futures=True)


@functools.lru_cache(1024)  # asked again for every program of a batch that is judged
def _work(program: str) -> str:
    return alone(program) or program
