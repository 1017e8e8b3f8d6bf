"""Interleaved paired timing of a reference child and a candidate child, with every clock that there is.

A pair runs both on the same fresh contents in random order. The number is the child's own timer; the bound is the
oracle's clock, from asking to the answer, outputs complete in the child's memory. Between calls the candidate must be
idle: CPU time that it uses while it was not asked is work smuggled out of the clock.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from longodds.errors import InfraError
from longodds.evaluator import compare, tree
from longodds.evaluator.checks import Wrong, check_draw, check_left, check_memory
from longodds.evaluator.children import Child, ChildEnded, ChildMemory, ChildTimeout, fetch_leaves
from longodds.evaluator.frames import Frame, Kind
from longodds.evaluator.problem import Problem
from longodds.evaluator.ring import stride

_PAIR_NS = 2_000_000
_CHECKED_SHARE = 0.2
_DECOY_SHARE = 0.1
_SPOTS = 64
# Waking up, reading a frame and answering it costs up to some hundred microseconds of CPU outside the timed interval.
_SLACK_NS = 300_000
_SLACK_SHARE = 0.05
_CAP_NS = 50_000


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

    own: the child's timer, which the program could forge. cpu: its process's CPU time, read from outside, which waiting
    for a busy core does not lengthen. wall: the oracle's clock, from asking until the child stands still again. wait:
    how long the child waited for its core, as the kernel counts.
    """

    own: float = 0.0
    cpu: float = 0.0
    wall: float = 0.0
    wait: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.own + other.own, self.cpu + other.cpu, self.wall + other.wall, self.wait + other.wait)

    def busy(self, usual: float) -> float:
        """The child's timer without the waits for a core inside it.

        Some of `wait` lies outside the timed interval, so no less is left than the CPU time without the `usual` part of
        it outside. A program gains nothing by sleeping, which is no wait for a core.
        """
        return min(self.own, max(self.own - self.wait, self.cpu - usual))

    @property
    def excess(self) -> float:
        """CPU time outside the timed interval; negative where a call waited for its core."""
        return self.cpu - self.own


@dataclass
class Side:
    """A child in the measurement, with scratch buffers for its outputs. excess_ns: per call, for the accounting."""

    child: Child
    problem: Problem
    trusted: bool
    excess_ns: list[float] = field(default_factory=list)
    own_ns: list[float] = field(default_factory=list)
    _blocks: list[torch.Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._blocks = [torch.zeros(max(leaf.nbytes, 1), dtype=torch.uint8) for leaf in self.problem.output_leaves]

    def slot(self, number: int = 0) -> torch.Tensor:
        """Input slot of the child's ring: (input_bytes,) uint8."""
        start = number * stride(self.problem)
        return self.child.inputs.block[start : start + self.problem.input_bytes]

    def write(self, contents: torch.Tensor, slot: int = 0) -> None:
        if contents.numel():
            self.slot(slot).copy_(contents)

    def call(self, timeout_s: float, count: int = 1) -> tuple[Frame, Spent]:
        """`count` calls on the first slots; (answer, time). Raises Refused, Cheat and what Child.wait raises."""
        before, waited = self.child.cpu_ns(), waited_ns(self.child.pid)
        start = time.perf_counter_ns()
        try:
            frame = self.child.ask(timeout_s, count)
        except (ChildEnded, ChildTimeout, ChildMemory) as error:
            if self.trusted:
                raise InfraError(f"{self.problem.task.id}: the reference's process failed: {error}") from None
            raise
        wall = float(time.perf_counter_ns() - start)
        if not self.trusted and self.child.steals:
            raise Cheat(f"the process used CPU while it was stopped, in {self.child.stolen} calls")
        if frame.kind is not Kind.DONE:
            raise Refused(frame)
        if len(frame.words) != count * len(self.problem.output_leaves):
            raise ChildEnded("broke the protocol: wrong number of outputs")
        if not 0 <= frame.value <= wall * 1.02 + 20_000:
            raise Cheat(f"the program's timer says {frame.value / 1e3:.1f} us where {wall / 1e3:.1f} us passed")
        used, waited = self.child.cpu_ns() - before, waited_ns(self.child.pid) - waited
        spent = Spent(float(frame.value), float(used), wall, float(waited))
        if count:
            self.own_ns.append(spent.own / count)
            self.excess_ns.append(spent.excess / count)
        return frame, spent

    def one(self, frame: Frame, number: int) -> Frame:
        """The part of an answer that call `number` of several made."""
        each = len(self.problem.output_leaves)
        return replace(frame, words=frame.words[number * each : (number + 1) * each])

    def outputs(self, frame: Frame) -> list[torch.Tensor]:
        """The answer's outputs, copied out of the child at once. Raises ChildEnded."""
        leaves = self.problem.output_leaves
        fetch_leaves(self.child, frame.words, [leaf.nbytes for leaf in leaves], self._blocks)
        return [
            tree.Leaf(0, leaf.dtype, leaf.shape, leaf.stride).view(block)
            for leaf, block in zip(leaves, self._blocks, strict=True)
        ]

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
        self.excess_ns.clear()


@dataclass
class Pairs:
    """Timed pairs of one process pair.

    d: log ratios by the child's timer less its waits for a core, for the candidate no less than its CPU time without
    twice the usual cost of asking. outer: by the CPU clock alone, the candidate given no credit for that cost.
    spent: (reference, candidate) of each pair's calls.
    """

    spent: list[tuple[Spent, Spent]] = field(default_factory=list)
    d: list[float] = field(default_factory=list)
    outer: list[float] = field(default_factory=list)
    calls: int = 1
    usual: float = 0.0  # CPU time (ns) outside the timer that asking costs in a pair

    def __len__(self) -> int:
        return len(self.spent)

    def call_us(self, trusted: bool) -> float:
        """Median microseconds per call by the child's timer, of the reference (trusted) or the candidate."""
        return _median([pair[0 if trusted else 1].busy(self.usual) for pair in self.spent]) / self.calls / 1e3

    def settle(self, usual: float) -> None:
        """Make the log ratios. usual: CPU time (ns) that asking costs the reference outside its timer, per call."""
        self.usual = self.calls * usual
        spare, cap = self.usual, 2 * self.usual + self.calls * _CAP_NS
        self.d = [_log_ratio(r.busy(spare), max(c.busy(spare), c.cpu - cap)) for r, c in self.spent]
        self.outer = [_log_ratio(max(r.cpu - spare, 0.05 * r.cpu), c.cpu) for r, c in self.spent]


class Meter:
    """Times one process pair. rng: the oracle's secret order, choice of checked calls, and decoys."""

    def __init__(
        self,
        problem: Problem,
        reference: Side,
        candidate: Side,
        rng: random.Random,
        timeout_s: float,
        deadline: float = math.inf,
    ) -> None:
        self.problem, self.reference, self.candidate = problem, reference, candidate
        self.rng, self.timeout_s, self.deadline = rng, timeout_s, deadline
        self.pairs = Pairs()
        self.asking_ns: list[float] = []  # CPU time of being asked for nothing: what an answer costs beside its calls
        self.same_memory = False  # the candidate's outputs share memory from call to call
        self._number = 0
        self._numbers = np.random.default_rng(rng.getrandbits(63))

    def warm(self, seconds: float = 0.03) -> None:
        """Call each side until a time is over and newer calls are no faster than older ones; sets calls per pair."""
        typical = 1.0
        for side in (self.candidate, self.reference):
            times: list[float] = []
            start = time.monotonic()
            while True:
                times.append(self.timed(side, self.next()[0])[1].own)
                half, spent = len(times) // 2, time.monotonic() - start
                settled = half >= 2 and min(times[half:]) > 0.95 * min(times[:half])
                late = time.monotonic() > self.deadline
                if (spent >= seconds and settled) or spent > 20 * seconds or len(times) >= 50 or late:
                    break
            typical = max(sorted(times)[len(times) // 2], 1.0)
        self.pairs.calls = max(1, min(8, math.ceil(_PAIR_NS / typical)))
        self.reference.settle()
        self.candidate.settle()

    def next(self) -> tuple[torch.Tensor, str]:
        """Contents that this process pair has not seen, and their law."""
        self._number += 1
        return self.problem.contents(self._number - 1)

    def timed(self, side: Side, contents: torch.Tensor) -> tuple[Frame, Spent]:
        side.write(contents)
        return side.call(self.timeout_s)

    def _call_both(self, first_is_reference: bool) -> dict[bool, Spent]:
        """One call of each side on the same contents; a random part of the calls is checked."""
        contents, law = self.next()
        check = self.rng.random() < _CHECKED_SHARE or law != "base"
        result: dict[bool, Spent] = {}
        seen: dict[bool, list[torch.Tensor]] = {}
        answers: dict[bool, Frame] = {}
        spots: dict[bool, list[torch.Tensor]] = {}
        places = self.places()
        for side in self.order(first_is_reference):
            frame, result[side.trusted] = self.timed(side, contents)
            spots[side.trusted] = side.spots(frame, places)
            self.alone(side)
            if check:
                answers[side.trusted] = frame
                seen[side.trusted] = side.outputs(frame)
        self.check_spots(spots[False], spots[True], law)
        if check:
            context = "in a timed call: "
            self.check_outputs(seen[False], seen[True], law)
            left = self.problem.left_in(self.reference.slot())
            allowed = [t.times(2.0) for t in self.problem.left_tolerances[law]]
            check_left(self.problem, self.candidate, contents, left, allowed, context)
            check_memory(self.problem, self.candidate, contents, seen[False], answers[False], context)
        return result

    def order(self, first_is_reference: bool) -> tuple[Side, Side]:
        return (self.reference, self.candidate) if first_is_reference else (self.candidate, self.reference)

    def alone(self, side: Side) -> None:
        """Raises Cheat for a candidate that has other processes."""
        if not side.trusted and len(side.child.family()) > 1:
            raise Cheat("the program leaves processes running between calls")

    def check_outputs(self, got: list[torch.Tensor], want: list[torch.Tensor], law: str) -> None:
        """Raises Wrong. want: the reference's own output on the same contents."""
        # Both err, so the allowance against the reference's own output is twice that against the yardstick.
        tolerances = [t.times(2.0) for t in self.problem.tolerances[law]]
        message = compare.check(got, want, tolerances, self.problem.names)
        if message:
            raise Wrong(f"in a timed call: {message} (inputs: {law})")

    def places(self) -> list[np.ndarray]:
        """Secret element offsets in every output leaf, new for each call: every timed answer is looked at a little."""
        return [self._numbers.integers(0, max(leaf.elements, 1), _SPOTS) for leaf in self.problem.output_leaves]

    def check_spots(self, got: list[torch.Tensor], want: list[torch.Tensor], law: str) -> None:
        for a, b, tolerance, name in zip(got, want, self.problem.tolerances[law], self.problem.names, strict=True):
            if a.numel() and not compare.Errors.between(a, b).peak <= 2 * tolerance.peak:
                raise Wrong(f"in a timed call: {name} is wrong at a place looked at (inputs: {law})")

    def run(self, count: int) -> None:
        """Add `count` pairs, fewer for a hopeless loser. Raises Wrong, Cheat and what a child raises."""
        for _ in range(count):
            if self.hopeless() or (self.pairs.spent and time.monotonic() > self.deadline):
                break
            if self.rng.random() < _DECOY_SHARE:
                # Looks like any other call but draws from another law, one never shown before, and is always checked.
                draw = self.rng.choice(self.problem.decoys)
                check_draw(self.problem, self.candidate, draw, self.timeout_s, "in a later call: ")
                self.candidate.settle()
            first = self.rng.random() < 0.5
            calls = [self._call_both(first) for _ in range(self.pairs.calls)]
            self.asking_ns.append(self.reference.call(self.timeout_s, 0)[1].cpu)
            self.pairs.spent.append((sum((c[True] for c in calls), Spent()), sum((c[False] for c in calls), Spent())))
        self._audit()

    def hopeless(self) -> bool:
        """At least twice as slow in each of three pairs: more of them would only cost time."""
        return len(self.pairs) >= 3 and all(c.own > 2 * r.own for r, c in self.pairs.spent)

    def _audit(self) -> None:
        """CPU time outside the timed interval is a cheat; makes the pairs' log ratios."""
        side = self.candidate
        if not side.own_ns or not self.pairs.spent:
            return
        # CPU time, not waiting: a busy machine makes everybody wait, but only work uses a process's own clock.
        typical, excess = _median(side.own_ns), _median(side.excess_ns)
        most = self.asking(0.9)
        if excess > 2 * most + _SLACK_NS + _SLACK_SHARE * typical:
            raise Cheat(
                f"the process used {excess / 1e3:.0f} us of CPU per call outside the timed interval "
                f"of {typical / 1e3:.0f} us ({most / 1e3:.0f} us for the reference)"
            )
        self.pairs.settle(self.asking(0.5))

    def asking(self, quantile: float) -> float:
        """CPU time (ns) that an answer costs the reference beside its call, at a quantile.

        Of being asked for nothing, and of its calls, where a wait for the core hides it.
        """
        seen = [float(np.quantile(x, quantile)) for x in (self.asking_ns, self.reference.excess_ns) if x]
        return max(0.0, *seen) if seen else 0.0


def waited_ns(pid: int) -> int:
    """Time (ns) that a process's main thread was ready and waited for a core; 0 where the kernel does not count it."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0


def _log_ratio(reference_ns: float, candidate_ns: float) -> float:
    return math.log(max(reference_ns, 1.0) / max(candidate_ns, 1.0))


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2] if values else 0.0
