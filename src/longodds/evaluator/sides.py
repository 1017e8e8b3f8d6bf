"""The two sides of a measurement: a child that is called, by every clock that there is, and its answers."""

from __future__ import annotations

import contextlib
import time
import weakref
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from longodds.errors import InfraError
from longodds.evaluator import tree
from longodds.evaluator.blocks import put
from longodds.evaluator.children import Child, ChildEnded, ChildMemory, ChildTimeout, fetch_leaves
from longodds.evaluator.frames import Fault, Frame, Kind
from longodds.evaluator.neighbours import habitual
from longodds.evaluator.problem import Problem
from longodds.evaluator.ring import stride


class Refused(Exception):
    """The program failed in a call: carries its ERROR frame."""

    def __init__(self, frame: Frame) -> None:
        super().__init__(frame.text)
        self.frame = frame


class Cheat(Exception):
    """The clocks disagree beyond what honest work can explain."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What some calls took, by every clock (ns).

    own: the child's timer. off: how much of it the child was not on a core, by its own count. The program could forge
    both. cpu: its process's CPU time, read from outside, which waiting for a busy core does not lengthen; on a GPU the
    same as wall. wall: the oracle's clock, from asking until the child stands still again, on a GPU until it answers.
    wait: how long the child waited for its core, as the kernel counts.
    """

    own: float = 0.0
    cpu: float = 0.0
    wall: float = 0.0
    wait: float = 0.0
    off: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.own + other.own,
            self.cpu + other.cpu,
            self.wall + other.wall,
            self.wait + other.wait,
            self.off + other.off,
        )

    @property
    def busy(self) -> float:
        """The child's timer without the waits for a core inside it: time off the core, but for what no wait explains.

        A program gains nothing by sleeping, which is no wait for a core.
        """
        return self.own - min(self.wait, self.off)

    @property
    def inside(self) -> float:
        """CPU time inside the timed interval. Of the reference it is the truth."""
        return min(self.own - self.off, self.cpu)

    @property
    def outside(self) -> float:
        """CPU time outside the timed interval: what asking costs. Of a program it is as honest as the program."""
        return self.cpu - self.inside


_PATIENCE_S = 300.0
_WAITED = 0.75  # of what a GPU was told to wait; its clock may run faster than is reckoned with


@dataclass
class Side:
    """A child in the measurement.

    own_ns, outside_ns: of each answer, for the accounting. left_working: answers after which a GPU was still at work.
    usual_ns: of a call by its timer when it was warm, 0 before.
    """

    child: Child
    problem: Problem
    trusted: bool
    outside_ns: list[float] = field(default_factory=list)
    own_ns: list[float] = field(default_factory=list)
    left_working: int = 0
    usual_ns: float = 0.0

    def slot(self, number: int = 0) -> torch.Tensor:
        """Input slot of the child's ring: (input_bytes,) uint8."""
        start = number * stride(self.problem)
        return self.child.inputs.block[start : start + self.problem.input_bytes]

    def write(self, contents: torch.Tensor, slot: int = 0) -> None:
        if contents.numel():
            put(self.slot(slot), contents)

    def call(self, timeout_s: float, count: int = 1, wait_ns: int = 0, compile_s: float = 0.0) -> tuple[Frame, Spent]:
        """`count` calls on the first slots; (answer, time). Raises Refused, Cheat and what Child.wait raises.

        wait_ns: that a GPU waits before them, for all to be queued. compile_s: what they may take while the program's
        compiler works.
        """
        before, waited = self.child.cpu_ns(), waited_ns(self.child.pid)
        if self.trusted:  # it may have to be compiled first; one that never ends was found out before
            timeout_s = max(timeout_s, _PATIENCE_S)
        self._note_idle(idle=self.problem.device.settle())
        start = time.perf_counter_ns()
        try:
            frame = self.child.ask(timeout_s, count, wait_ns, compile_s)
        except (ChildEnded, ChildTimeout, ChildMemory) as error:
            raise self._ours(error) from None
        wall = float(time.perf_counter_ns() - start)
        if not self.trusted and self.child.steals:
            raise Cheat(f"the process used CPU while it was stopped, in {self.child.stolen + self.child.stray} calls")
        if frame.kind is not Kind.DONE:
            raise self._refused(frame)
        if len(frame.words) != count * len(self.problem.output_leaves):
            raise ChildEnded("broke the protocol: wrong number of outputs")
        if not 0 <= frame.value <= wall * 1.02 + 20_000:
            raise Cheat(f"the program's timer says {frame.value / 1e3:.1f} us where {wall / 1e3:.1f} us passed")
        if self.problem.on_gpu:
            # Nobody can forge how long the answer took; what the process used of a CPU says nothing here. What was
            # waited for us is no time of the program's, and changes from answer to answer.
            took = max(self.child.took_ns - _WAITED * wait_ns, 0.0)
            spent = Spent(float(frame.value), took, took)
        else:
            used, waited = self.child.cpu_ns() - before, waited_ns(self.child.pid) - waited
            off = float(min(frame.code, frame.value))
            spent = Spent(float(frame.value), float(used), wall, float(waited), off)
        if count:
            self.own_ns.append(spent.own)
            self.outside_ns.append(spent.outside)
        return frame, spent

    def answer(self, timeout_s: float) -> Frame:
        """The answer to a call that was begun and for which nobody accounts. Raises as `call`."""
        try:
            frame = self.child.finish(timeout_s)
        except (ChildEnded, ChildTimeout, ChildMemory) as error:
            raise self._ours(error) from None
        if frame.kind is not Kind.DONE:
            raise self._refused(frame)
        return frame

    def serves(self, problem: Problem) -> bool:
        """Whether it is a reference of this very problem: what is timed, and the weights."""
        return self.problem.task.digest == problem.task.digest and self.problem.state is problem.state

    def _refused(self, frame: Frame) -> Exception:
        """A reference that fails is no program's fault, but for memory that a program took."""
        if not self.trusted:
            return Refused(frame)
        if frame.code == Fault.MEMORY and self.problem.on_gpu:
            return torch.OutOfMemoryError(frame.text)
        return InfraError(f"{self.problem.task.id}: the reference fails: {frame.text}")

    def _ours(self, error: Exception) -> Exception:
        """A reference that fails is no program's fault."""
        if not self.trusted:
            return error
        return InfraError(f"{self.problem.task.id}: the reference's process failed: {error}")

    def _note_idle(self, *, idle: bool) -> None:
        """Work that a GPU still had was left by who answered last. Raises Cheat for a program that makes a habit of it:
        other processes of the machine would do so after references too."""
        device = self.problem.device
        rested, device.asked_rested = device.asked_rested, device.rested
        if device.disturbed():  # by us; nothing is timed then
            return
        last, device.last = device.last(), weakref.ref(self)  # its buffers may be large: they end with its process
        if last is not None and last.trusted:
            device.neighbours.note(busy=not idle, rested=rested)
        elif last is not None:
            last.left_working += not idle
        if habitual(self.left_working, self.child.asked, device.neighbours.usual):
            device.neighbours.suspected = True
            raise Cheat(f"kernels run on after the answer, in {self.left_working} of {self.child.asked} calls")

    def one(self, frame: Frame, number: int) -> Frame:
        """The part of an answer that call `number` of several made."""
        each = len(self.problem.output_leaves)
        return replace(frame, words=frame.words[number * each : (number + 1) * each])

    def outputs(self, frame: Frame) -> list[torch.Tensor]:
        """The answer's outputs, copied out of the child at once; there until any side's next ones are. Raises
        ChildEnded."""
        leaves, blocks = self.problem.output_leaves, self.problem.output_blocks
        fetch_leaves(self.child, frame.words, [leaf.nbytes for leaf in leaves], blocks)
        return [
            tree.Leaf(0, leaf.dtype, leaf.shape, leaf.stride).view(block)
            for leaf, block in zip(leaves, blocks, strict=True)
        ]

    def apart(self, frame: Frame) -> bool:
        """Whether the answer's outputs are known to lie outside the inputs' memory, without a look at what is there."""
        words = zip(self.problem.output_leaves, frame.words, strict=True)
        return all(self.child.apart(address, leaf.nbytes) for leaf, address in words)

    def spots(self, frame: Frame, places: list[np.ndarray]) -> list[torch.Tensor]:
        """The answer's elements at the given offsets, per leaf. Raises ChildEnded."""
        found: list[torch.Tensor] = []
        for leaf, address, at in zip(self.problem.output_leaves, frame.words, places, strict=True):
            if leaf.elements == 0:
                found.append(torch.empty(0, dtype=leaf.dtype))
                continue
            size = leaf.dtype.itemsize
            data = bytearray(self.child.sample(address, at * size, size))
            found.append(torch.frombuffer(data, dtype=leaf.dtype))
        return found

    def settle(self) -> None:
        """Forget the accounting so far: what follows is a new phase."""
        self.own_ns.clear()
        self.outside_ns.clear()

    @contextlib.contextmanager
    def unaccounted(self) -> Generator[None]:
        """Calls that are unlike those around them stay out of the accounting."""
        kept = len(self.own_ns)
        yield
        del self.own_ns[kept:], self.outside_ns[kept:]


def waited_ns(pid: int) -> int:
    """Time (ns) that a process's main thread was ready and waited for a core; 0 where the kernel does not count it."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
