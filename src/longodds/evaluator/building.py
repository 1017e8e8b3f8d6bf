"""Compiles ahead of the device: programs that build extensions are loaded in sandboxes of their own on the CPU cores,
before their turn, and what they compiled is kept for the processes that judge them. No torch here.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from longodds.errors import InfraError
from longodds.evaluator.builds import Builds, compiles
from longodds.evaluator.forks import Zygote, hidden_folders
from longodds.evaluator.frames import Kind
from longodds.evaluator.process import ChildEnded, ChildMemory, ChildTimeout, Process
from longodds.evaluator.settings import EvaluatorSettings


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
            if compiles(program) and program not in self._asked:
                self._zygote.start()
                self._asked[program] = self._pool.submit(self._build, program)

    def at_work(self, program: str) -> bool:
        """Whether a program that was expected is not built yet."""
        return program in self._asked and not self._asked[program].done()

    def wait(self, program: str) -> None:
        """Until a program that was expected is built, or has failed to."""
        if program in self._asked:
            self._asked[program].result()

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
            frame = process.loaded(self.settings.import_timeout_s, self.settings.compile_timeout_s)
            signal.pidfd_send_signal(forked.pidfd, signal.SIGSTOP)
            if frame.kind is Kind.READY:
                self._builds.keep(program, forked.pid, forked.caches)
        except (ChildEnded, ChildMemory, ChildTimeout, ProcessLookupError):
            return  # whoever judges it will see the same, and say so
        finally:
            process.close()

    def close(self) -> None:
        self._zygote.close()  # ends those at work
        self._pool.shutdown(cancel_futures=True)
