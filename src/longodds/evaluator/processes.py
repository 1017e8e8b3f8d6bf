"""The oracle's processes: fork servers, the candidates and references forked from them, the sandbox they enter."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import tempfile
import time
from collections.abc import Generator, Iterable
from dataclasses import replace
from pathlib import Path

from longodds.errors import InfraError
from longodds.evaluator import sandbox, stats
from longodds.evaluator.children import Child, ChildEnded, ChildMemory, ChildTimeout, Zygote, remove_tree
from longodds.evaluator.frames import Kind
from longodds.evaluator.problem import Problem
from longodds.evaluator.ring import slots, stride
from longodds.evaluator.settings import EvaluatorSettings
from longodds.evaluator.timing import Refused, Side

_FORKS_PER_ZYGOTE = 200


class Processes:
    """Starts and ends the children of an oracle. rng: the oracle's secret one. Not for several threads."""

    def __init__(self, settings: EvaluatorSettings, rng: random.Random) -> None:
        self.settings, self.rng = settings, rng
        self.root = Path(tempfile.mkdtemp(prefix="longodds-", dir=open_folder()))
        self.root.chmod(0o711)
        probe = self.root / "probe"
        probe.mkdir()
        hide = hidden_folders()
        self.isolation = sandbox.probe_layers(probe, hide)
        shutil.rmtree(probe)
        self.layers = tuple(name for name, state in self.isolation.items() if state == "on")
        core = settings.core if settings.core is not None else last_core()
        self.zygotes = [
            Zygote(core, self.layers, hide, settings.memory_limit(), self.root) for _ in range(stats.PROCESS_PAIRS + 1)
        ]
        self.zygotes[0].start()

    def _zygote(self, number: int) -> Zygote:
        zygote = self.zygotes[number]
        if zygote.forks >= _FORKS_PER_ZYGOTE or (zygote.process is not None and zygote.process.poll() is not None):
            return self._replace(number)
        return zygote

    def renew(self, numbers: Iterable[int]) -> None:
        """Replace these fork servers, where they have forked, by new ones: all start at once."""
        for number in numbers:
            if self.zygotes[number].forks:
                self._replace(number).start()

    def unpinned(self) -> int:
        """Number of a fork server whose children run on any core: for timing as others do it."""
        if len(self.zygotes) == stats.PROCESS_PAIRS + 1:
            self.zygotes.append(replace(self.zygotes[0], core=None, forks=0, process=None, control=None, ready=False))
        return len(self.zygotes) - 1

    def _replace(self, number: int) -> Zygote:
        zygote = self.zygotes[number]
        zygote.close()
        self.zygotes[number] = replace(zygote, forks=0, process=None, control=None, ready=False)
        return self.zygotes[number]

    @contextlib.contextmanager
    def child(self, problem: Problem, program: str, entry: str, number: int) -> Generator[Child]:
        """A child of fork server `number` that loads `program`; ended in the end."""
        config = problem.child_config(entry, self.rng.getrandbits(31)) | {"stride": stride(problem)}
        child = self._zygote(number).spawn(program, config, problem.state, slots(problem) * stride(problem))
        try:
            yield child
        finally:
            child.close()

    def ready(self, child: Child) -> None:
        """Wait until the program is loaded. Raises Refused and what Child.wait raises."""
        limit, start, used = self.settings.import_timeout_s, time.monotonic(), 0.0

        def extend() -> float:
            # A compiler at work is a descendant that uses CPU; only while one does may an import take longer.
            nonlocal used
            before, used = used, child.helpers_cpu_s()
            busy = used > before + 0.1 and time.monotonic() - start < self.settings.compile_timeout_s
            return time.monotonic() - start + 2.0 if busy else limit

        frame = child.wait(limit, extend=extend)
        child.freeze()
        if frame.kind is not Kind.READY:
            raise Refused(frame)

    @contextlib.contextmanager
    def reference(self, problem: Problem, number: int) -> Generator[Side]:
        """A fresh reference process, of fork server `number`; ended in the end. Raises InfraError if it fails."""
        with self.child(problem, problem.task.reference, "Model", number) as child:
            try:
                self.ready(child)
            except (Refused, ChildEnded, ChildTimeout, ChildMemory) as error:
                what = f"{problem.task.id}: the reference does not run in its child process"
                raise InfraError(f"{what}: {error}") from None
            yield Side(child, problem, trusted=True)

    def close(self) -> None:
        for zygote in self.zygotes:
            zygote.close()
        remove_tree(self.root)


def hidden_folders() -> tuple[Path, ...]:
    """Folders that a candidate must not see: the user's home."""
    home = Path.home()
    return (home,) if home != Path("/") else ()


def open_folder() -> Path | None:
    """Where children's folders go: the usual temporary folder, or /tmp where a private uid could not enter that one."""
    usual = Path(tempfile.gettempdir()).resolve()
    closed = any(not p.stat().st_mode & 0o001 for p in (usual, *usual.parents))
    return Path("/tmp") if closed and Path("/tmp").is_dir() else usual


def last_core() -> int | None:
    """The core that children are pinned to: the last allowed one, since interrupts tend to the first."""
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
