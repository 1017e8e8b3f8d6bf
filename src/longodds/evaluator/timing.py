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
from dataclasses import dataclass, field

import numpy as np
import torch

from longodds.errors import InfraError
from longodds.evaluator import compare, tree
from longodds.evaluator.checks import Wrong, check_draw, check_left, check_memory
from longodds.evaluator.children import Child, ChildEnded, ChildMemory, ChildTimeout, fetch_leaves
from longodds.evaluator.frames import Frame, Kind
from longodds.evaluator.problem import Problem

_PAIR_NS = 2_000_000
_CHECKED_SHARE = 0.2
_DECOY_SHARE = 0.1
TIMER_GAP = math.log(1.05)
_STOLEN_TIMES = 3
_CREDIT = 0.3
_SPOTS = 64
# Waking up, reading a frame and answering it costs up to some hundred microseconds of CPU outside the timed interval.
_SLACK_NS = 300_000
_SLACK_SHARE = 0.05


class Refused(Exception):
    """The program failed in a call: carries its ERROR frame."""

    def __init__(self, frame: Frame) -> None:
        super().__init__(frame.text)
        self.frame = frame


class Cheat(Exception):
    """The clocks disagree beyond what honest work can explain."""


@dataclass
class Side:
    """A child in the measurement: its process, its timings (ns per call) and scratch buffers for its outputs."""

    child: Child
    problem: Problem
    trusted: bool
    own_ns: list[float] = field(default_factory=list)
    wait_ns: list[float] = field(default_factory=list)
    excess_ns: list[float] = field(default_factory=list)
    _blocks: list[torch.Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._blocks = [torch.zeros(max(leaf.nbytes, 1), dtype=torch.uint8) for leaf in self.problem.output_leaves]

    def write(self, contents: torch.Tensor) -> None:
        if contents.numel():
            self.child.inputs.block.copy_(contents)

    def call(self, timeout_s: float) -> tuple[Frame, float]:
        """Ask once; (answer, wall nanoseconds). Raises Refused, Cheat and what Child.wait raises."""
        before = self.child.cpu_ns()
        start = time.perf_counter_ns()
        try:
            frame = self.child.ask(timeout_s)
        except (ChildEnded, ChildTimeout, ChildMemory) as error:
            if self.trusted:
                raise InfraError(f"{self.problem.task.id}: the reference's process failed: {error}") from None
            raise
        wall = float(time.perf_counter_ns() - start)
        # A stop can be seen a moment before the last of its accounting: only a habit is an accusation.
        if not self.trusted and self.child.stolen > _STOLEN_TIMES:
            raise Cheat(f"the process used CPU while it was stopped, in {self.child.stolen} calls")
        if frame.kind is not Kind.DONE:
            raise Refused(frame)
        if len(frame.words) != len(self.problem.output_leaves):
            raise ChildEnded("broke the protocol: wrong number of outputs")
        if not 0 <= frame.value <= wall * 1.02 + 20_000:
            raise Cheat(f"the program's timer says {frame.value / 1e3:.1f} us where {wall / 1e3:.1f} us passed")
        used = self.child.cpu_ns() - before
        self.own_ns.append(float(frame.value))
        self.wait_ns.append(wall - frame.value)
        self.excess_ns.append(used - frame.value)
        return frame, wall

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
        self.wait_ns.clear()
        self.excess_ns.clear()


@dataclass
class Pairs:
    """Timed pairs of one process pair: log ratios by the child's timer (d), by the oracle's clock as it is (w) and
    without the usual cost of asking (honest); microseconds per call."""

    d: list[float] = field(default_factory=list)
    w: list[float] = field(default_factory=list)
    wall_ns: list[tuple[float, float]] = field(default_factory=list)
    honest: list[float] = field(default_factory=list)
    reference_us: list[float] = field(default_factory=list)
    candidate_us: list[float] = field(default_factory=list)
    calls: int = 1

    def __len__(self) -> int:
        return len(self.d)


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
        self._number = 0
        self._numbers = np.random.default_rng(rng.getrandbits(63))

    def warm(self, seconds: float = 0.03) -> None:
        """Call each side until a time is over and newer calls are no faster than older ones; sets calls per pair."""
        typical = 1.0
        for side in (self.candidate, self.reference):
            times: list[float] = []
            start = time.monotonic()
            while True:
                times.append(self._timed(side, self._next()[0])[0])
                half, spent = len(times) // 2, time.monotonic() - start
                settled = half >= 2 and min(times[half:]) > 0.95 * min(times[:half])
                late = time.monotonic() > self.deadline
                if (spent >= seconds and settled) or spent > 20 * seconds or len(times) >= 50 or late:
                    break
            typical = max(sorted(times)[len(times) // 2], 1.0)
        self.pairs.calls = max(1, min(8, math.ceil(_PAIR_NS / typical)))
        self.reference.settle()
        self.candidate.settle()

    def _next(self) -> tuple[torch.Tensor, str]:
        """Contents that this process pair has not seen, and their law."""
        self._number += 1
        return self.problem.contents(self._number - 1)

    def _timed(self, side: Side, contents: torch.Tensor) -> tuple[float, float, Frame]:
        side.write(contents)
        frame, wall = side.call(self.timeout_s)
        return float(frame.value), wall, frame

    def _call_both(self, first_is_reference: bool) -> dict[bool, tuple[float, float]]:
        """One call of each side on the same contents; a random part of the calls is checked."""
        contents, law = self._next()
        check = self.rng.random() < _CHECKED_SHARE or law != "base"
        result: dict[bool, tuple[float, float]] = {}
        seen: dict[bool, list[torch.Tensor]] = {}
        frames: dict[bool, Frame] = {}
        spots: dict[bool, list[torch.Tensor]] = {}
        places = self._places()
        sides = (self.reference, self.candidate) if first_is_reference else (self.candidate, self.reference)
        for side in sides:
            own, wall, frame = self._timed(side, contents)
            result[side.trusted] = (own, wall)
            spots[side.trusted] = side.spots(frame, places)
            if not side.trusted and len(side.child.family()) > 1:
                raise Cheat("the program leaves processes running between calls")
            if check:
                frames[side.trusted] = frame
                seen[side.trusted] = side.outputs(frame)
        self._spot_check(spots[False], spots[True], law)
        if check:
            # Both err, so the allowance against the reference's own output is twice that against the yardstick.
            tolerances = [t.times(2.0) for t in self.problem.tolerances[law]]
            message = compare.check(seen[False], seen[True], tolerances, self.problem.names)
            if message:
                raise Wrong(f"in a timed call: {message} (inputs: {law})")
            context = "in a timed call: "
            left = self.problem.left_in(self.reference.child.inputs.block)
            allowed = [t.times(2.0) for t in self.problem.left_tolerances[law]]
            check_left(self.problem, self.candidate, contents, left, allowed, context)
            check_memory(self.problem, self.candidate, contents, seen[False], frames[False], context)
        return result

    def _places(self) -> list[np.ndarray]:
        """Secret element offsets in every output leaf, new for each call: every timed answer is looked at a little."""
        return [self._numbers.integers(0, max(leaf.elements, 1), _SPOTS) for leaf in self.problem.output_leaves]

    def _spot_check(self, got: list[torch.Tensor], want: list[torch.Tensor], law: str) -> None:
        for a, b, tolerance, name in zip(got, want, self.problem.tolerances[law], self.problem.names, strict=True):
            if a.numel() and not compare.Errors.between(a, b).peak <= 2 * tolerance.peak:
                raise Wrong(f"in a timed call: {name} is wrong at a place looked at (inputs: {law})")

    def run(self, count: int) -> None:
        """Add `count` pairs, fewer for a hopeless loser. Raises Wrong, Cheat and what a child raises."""
        for _ in range(count):
            if self.hopeless() or (self.pairs.d and time.monotonic() > self.deadline):
                break
            if self.rng.random() < _DECOY_SHARE:
                # Looks like any other call but draws from another law, one never shown before, and is always checked.
                draw = self.rng.choice(self.problem.decoys)
                check_draw(self.problem, self.candidate, draw, self.timeout_s, "in a later call: ")
                self.candidate.settle()
            first = self.rng.random() < 0.5
            calls = [self._call_both(first) for _ in range(self.pairs.calls)]
            own = {side: sum(c[side][0] for c in calls) for side in (True, False)}
            wall = {side: sum(c[side][1] for c in calls) for side in (True, False)}
            self.pairs.d.append(_log_ratio(own[True], own[False]))
            self.pairs.wall_ns.append((wall[True], wall[False]))
            self.pairs.reference_us.append(own[True] / self.pairs.calls / 1e3)
            self.pairs.candidate_us.append(own[False] / self.pairs.calls / 1e3)
        self._audit()

    def hopeless(self) -> bool:
        """At least twice as slow in each of three pairs: more of them would only cost time."""
        return len(self.pairs) >= 3 and max(self.pairs.d) < math.log(0.5)

    def _audit(self) -> None:
        """Work outside the timed interval, by the process's CPU clock or by processes left running, is a cheat."""
        side = self.candidate
        if not side.own_ns or not self.pairs.d:
            return
        # CPU time, not waiting: a busy machine makes everybody wait, but only work uses a process's own clock.
        typical, excess = _median(side.own_ns), _median(side.excess_ns)
        usual = max(0.0, float(np.quantile(self.reference.excess_ns, 0.9)))  # below 0 where a call waited for a core
        if excess > 2 * usual + _SLACK_NS + _SLACK_SHARE * typical:
            raise Cheat(
                f"the process used {excess / 1e3:.0f} us of CPU per call outside the timed interval "
                f"of {typical / 1e3:.0f} us ({usual / 1e3:.0f} us for the reference)"
            )
        # The oracle's clock without the usual cost of asking must tell the same story as the program's timer.
        # That cost is a low quantile of the reference's: on a busy machine the median wait is mostly others' work.
        usual = float(np.quantile(self.reference.wait_ns, 0.2)) * self.pairs.calls
        # Never less than a twentieth of what the clock saw: the usual cost is a median and may exceed a single wait.
        self.pairs.honest = [
            _log_ratio(max(r - usual, 0.05 * r), max(c - usual, 0.05 * c)) for r, c in self.pairs.wall_ns
        ]
        # The bound gives a candidate little credit for the cost of asking, since a hostile one could save some of it.
        self.pairs.w = [
            _log_ratio(max(r - usual, 0.05 * r), max(c - _CREDIT * usual, 0.05 * c)) for r, c in self.pairs.wall_ns
        ]


def _log_ratio(reference_ns: float, candidate_ns: float) -> float:
    return math.log(max(reference_ns, 1.0) / max(candidate_ns, 1.0))


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2] if values else 0.0
