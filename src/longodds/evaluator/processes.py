"""The oracle's processes: the candidates and references forked from its fork servers."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Generator
from pathlib import Path
from typing import Any

from longodds.errors import InfraError
from longodds.evaluator.builds import Builds
from longodds.evaluator.children import Child, ChildEnded, ChildMemory, ChildTimeout, last_words, spawn
from longodds.evaluator.extensions import alone
from longodds.evaluator.forks import Forked, ForkServers, Zygote
from longodds.evaluator.frames import Kind
from longodds.evaluator.problem import Problem
from longodds.evaluator.ring import slots, stride
from longodds.evaluator.settings import EvaluatorSettings
from longodds.evaluator.sides import Cheat, Refused, Side
from longodds.evaluator.spares import Spares


class Processes:
    """Starts and ends the children of an oracle. rng: the oracle's secret one. Not for several threads."""

    def __init__(self, settings: EvaluatorSettings, servers: ForkServers, rng: random.Random) -> None:
        self.settings, self.servers, self.rng = settings, servers, rng
        self.isolation = servers.isolation
        self.builds = Builds(servers.root / "builds")
        self.spares = Spares(servers)
        self.ahead = settings.device == "cuda"  # on a CPU a fork takes as long as telling a spare
        self._rings: dict[bool, Any] = {}
        self._rings_of = ""
        self._standing: tuple[Side, contextlib.ExitStack] | None = None

    @contextlib.contextmanager
    def child(self, problem: Problem, program: str, entry: str, number: int) -> Generator[Child]:
        """A child of fork server `number` that loads `program`; ended in the end."""
        config = problem.child_config(entry, self.rng.getrandbits(31)) | {"stride": stride(problem)}
        zygote = self.servers.get(number)
        built = self._built(program) if entry == "Model" or problem.on_gpu else None
        if problem.on_gpu and built is None:
            config["failed"] = self.builds.failures(program)
        ahead = self.spares.take(number) if built is None else None
        if problem.on_gpu:
            child: Child = self._spawn_cuda(zygote, problem, program, config, built, ahead)
        else:
            size = slots(problem) * stride(problem)
            child = spawn(zygote, program, config, problem.state, size, built, ahead)
        try:
            yield child
        finally:
            child.close()

    def _built(self, program: str) -> Path | None:
        """What its own processes compiled, else what was compiled for all programs that make its calls."""
        found = self.builds.find(program)
        text = alone(program) if found is None else None
        return found if text is None else self.builds.find(text)

    def _spawn_cuda(
        self,
        zygote: Zygote,
        problem: Problem,
        program: str,
        config: dict[str, Any],
        built: Path | None,
        ahead: Forked | None,
    ) -> Child:
        from longodds.evaluator.cuda import DeviceBlock
        from longodds.evaluator.cuda_children import spawn_cuda

        # One ring for all references and one for all programs of a task: only one process is asked at a time, and each
        # finds its inputs written anew. A program can't reach the references' ring.
        if self._rings_of != problem.task.digest:
            self.end_standing()  # it has its inputs from the ring
            for ring in self._rings.values():
                ring.close()
            self._rings.clear()
            self._rings_of = problem.task.digest
        trusted = config["entry"] == "Model"
        if trusted not in self._rings:
            self._rings[trusted] = DeviceBlock(max(slots(problem) * stride(problem), 1))
        return spawn_cuda(zygote, program, config, problem.state, self._rings[trusted], built, ahead)

    @property
    def ring_bytes(self) -> int:
        """On a GPU, of the rings that there are."""
        return sum(ring.size for ring in self._rings.values())

    def expect(self, number: int, count: int = 1) -> None:
        """So many programs will follow on this fork server: where starting takes long, a process starts now if fewer
        wait for them."""
        if self.ahead:
            self.spares.expect(number, count)

    def settle(self) -> None:
        """Wait until all that was started ahead is at rest. Raises InfraError."""
        self.servers.settle()
        self.spares.settle()

    def retire(self) -> None:
        """Between two programs: fork servers that have served for long are replaced."""
        if self.servers.served():
            self.end_standing()
            self.spares.close()
            self.servers.retire()

    def ready(self, child: Child) -> None:
        """Wait until the program is loaded. Raises Refused and what Child.wait raises."""
        frame = child.wait_for_compiler(self.settings.import_timeout_s, self.settings.compile_timeout_s)
        child.freeze()
        if frame.kind is not Kind.READY:
            raise Refused(frame)

    def keep_built(self, side: Side, program: str) -> None:
        """Keep what a process of the program, which stands still, compiled on its way: its next one need not. Where
        programs may not leave anything behind, only a reference's."""
        if side.trusted or side.problem.on_gpu:
            self.builds.keep(program, side.child.pid, side.child.forked.caches)

    @contextlib.contextmanager
    def reference(self, problem: Problem, number: int) -> Generator[Side]:
        """A fresh reference process, of fork server `number`; ended in the end. Raises InfraError if it fails."""
        with self.child(problem, problem.task.reference, "Model", number) as child:
            side = Side(child, problem, trusted=True)
            self.reference_ready(side)
            yield side

    @contextlib.contextmanager
    def screening_reference(self, problem: Problem) -> Generator[Side]:
        """The reference that programs are screened against: a fresh process, on a GPU one for all programs of the task.

        There its past shows in no timing, and starting it takes longer than screening a program. What calls a program
        faster has fresh ones everywhere. Raises InfraError if it fails.
        """
        if not problem.on_gpu:
            with self.reference(problem, 0) as side:
                yield side
            return
        if self._standing is None or not self._standing[0].serves(problem):
            self.end_standing()
            with contextlib.ExitStack() as stack:
                side = stack.enter_context(self.reference(problem, 0))
                self._standing = side, stack.pop_all()
        side = self._standing[0]
        side.settle()
        try:
            yield side
        except (InfraError, Cheat):  # it, or what its numbers are compared with, is in doubt
            self.end_standing()
            raise

    def end_standing(self) -> None:
        """End the reference that serves for all programs of a task."""
        if self._standing is not None:
            self._standing[1].close()
            self._standing = None

    def reference_ready(self, side: Side) -> None:
        """Wait until a reference is loaded. Raises InfraError."""
        try:
            self.ready(side.child)
        except (Refused, ChildEnded, ChildTimeout, ChildMemory) as error:
            what = f"{side.problem.task.id}: the reference does not run in its child process"
            words = last_words(side.child)
            raise InfraError(f"{what}: {error}{': ' + words if words else ''}") from None

    def close(self) -> None:
        self.end_standing()
        self.spares.close()
        self.servers.close()
