"""Interleaved paired timing of a reference child and a candidate child.

A pair is four answers, reference and candidate, then candidate and reference or the other way round: a core that has
just been idle runs otherwise than one at work, so the first of two calls is not like the second. On a GPU, where each
answer starts from the same state, a pair of long calls is two answers. An answer is some calls on a ring of input
slots, each with fresh contents; both sides get the same. The number is the child's own timer; the bound is the oracle's
clock, from asking to the answer, outputs complete in the child's memory. Between calls the candidate must be idle: CPU
time that it uses while it was not asked is work smuggled out of the clock.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from longodds.evaluator import compare
from longodds.evaluator.checks import Wrong, check_draw, check_left, check_memory
from longodds.evaluator.compare import Tolerance
from longodds.evaluator.frames import Frame
from longodds.evaluator.problem import Problem
from longodds.evaluator.ring import slots
from longodds.evaluator.sides import Cheat, Side, Spent
from longodds.evaluator.yardstick import NARROW

_ANSWER_NS = {"cpu": 6_000_000, "cuda": 1_000_000}
_LONG_NS = 1_000_000  # a call on a GPU
_MOST_CALLS = {"cpu": 16, "cuda": 64}  # in an answer
_LOOKED_AT = {"cpu": 16, "cuda": 4}  # calls of an answer whose outputs are looked at in some places: reading takes time
# A GPU waits so many times what queueing an answer's calls took, and some more for the host's hiccups; at most so long.
_QUEUED, _MORE_QUEUED_NS, _MOST_QUEUED_NS = 1.5, 150_000, 40_000_000
_UNQUEUED = 3  # answers of each side before that
# And so many times longer from when it began before all calls were queued; for a program that waits for the GPU it
# always will, so only so often.
_LONGER, _MOST_LONGER = 1.5, 3
HOPELESS_PAIRS = 3
_SHOWN = 4  # contents to warm up with
_ANSWERS = 2  # of each side in a pair, at most
_CHECKED = {"base": 0.05, "rare": 0.5}  # share of the timed calls whose outputs are compared in full
_DECOY_SHARE = 0.1
_LAST_PLACES = 32  # of the largest output of a timed call: sums in another order differ by as much
_SPOTS = 64
# Waking up, reading a frame and answering it costs up to some hundred microseconds of CPU outside the timed interval.
_SLACK_NS = 300_000
_SLACK_SHARE = 0.05
_AUDITED = 6  # answers
_CAP_NS = 50_000
# Time outside the timer that is no accusation: for an answer, for a call, and of all the timer says.
_ANSWER_MORE_NS, _CALL_MORE_NS, _MORE_SHARE = 150_000, 15_000, 0.01


@dataclass
class Pairs:
    """Timed pairs of one process pair.

    d: log ratios by the child's timer less its waits for a core, for the candidate no less than its CPU time without
    twice the usual cost of asking. outer: log ratios of the reference's CPU time in its calls to all CPU time of the
    candidate, which gets no credit for what asking costs. spent: (reference, candidate) of each pair. calls: in an
    answer. answers: of each side in a pair. launches: of the reference in a call, 0 on a CPU. whole_us: on a GPU, per
    call of (reference, candidate) by the oracle's clock, launching included.
    """

    spent: list[tuple[Spent, Spent]] = field(default_factory=list)
    d: list[float] = field(default_factory=list)
    outer: list[float] = field(default_factory=list)
    calls: int = 1
    answers: int = _ANSWERS
    launches: int = 0
    whole_us: tuple[float, float] | None = None

    def __len__(self) -> int:
        return len(self.spent)

    def call_us(self, trusted: bool) -> float:
        """Median microseconds per call by the child's timer, of the reference (trusted) or the candidate."""
        return _median([pair[0 if trusted else 1].busy for pair in self.spent]) / self.calls / self.answers / 1e3

    def settle(self, usual: float) -> None:
        """Make the log ratios. usual: CPU time (ns) that an answer costs the reference outside its timer."""
        cap = self.answers * (2 * usual + _CAP_NS)
        self.d = [_log_ratio(r.busy, max(c.busy, c.cpu - cap)) for r, c in self.spent]
        self.outer = [_log_ratio(r.inside, c.cpu) for r, c in self.spent]


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
        self.pairs = Pairs(launches=problem.demands.launches if problem.demands else 0)
        self.ring = 1  # calls that an answer may hold
        self.wait_ns = 0  # that a GPU waits for an answer's calls to be queued
        self._longer = 0  # times that this was not enough
        self._kind = problem.device.kind
        self._number = 0
        self._numbers = np.random.default_rng(rng.getrandbits(63))

    # --- before the first pair ------------------------------------------------------------------

    def warm(self, seconds: float = 0.03) -> None:
        """Call each side until a time is over and newer calls are no faster than older ones, a reference that was in
        other process pairs once; sets calls per answer."""
        typical = 1.0
        # A program may remember them: they do not come back.
        shown = [self.next()[0] for _ in range(self.problem.kept_contents(_SHOWN))]
        for side in (self.candidate, self.reference):
            # On a GPU the calls of before were made no otherwise.
            times = list(side.own_ns) if self.problem.on_gpu else []
            start = time.monotonic() - sum(times) / 1e9
            while True:
                side.write(shown[len(times) % len(shown)])
                times.append(side.call(self.timeout_s)[1].own)
                half, spent = len(times) // 2, time.monotonic() - start
                settled = half >= 2 and min(times[half:]) > 0.95 * min(times[:half])
                late = time.monotonic() > self.deadline
                warmed = side.usual_ns > 0 or (spent >= seconds and settled)
                if warmed or spent > 20 * seconds or len(times) >= 50 or late:
                    break
            typical = side.usual_ns = max(min(_median(times), side.usual_ns or math.inf), 1.0)
        self.ring = self._ring()
        wanted = math.ceil(_ANSWER_NS[self._kind] / typical)
        self.pairs.calls = max(1, min(_MOST_CALLS[self._kind], self.ring, wanted))
        if self.problem.on_gpu and typical >= _LONG_NS:
            self.pairs.answers = 1
        self.fill(self.pairs.calls)
        if self.problem.on_gpu:
            self.unqueued(shown)

    def fill(self, count: int) -> None:
        """An answer of each side on `count` slots that does not count, so that both have memory for as many outputs."""
        contents = self.next()[0]
        for side in (self.reference, self.candidate):
            for slot in range(count):
                side.write(contents, slot)
            side.call(self.timeout_s, count)
            side.settle()

    def unqueued(self, shown: Sequence[torch.Tensor]) -> None:
        """Some answers as a caller gets them, who waits for the host to launch each call: what they take, and from that
        how long the GPU is to wait for an answer's calls to be queued. A quick program is bound by its launches."""
        count, sides = self.pairs.calls, (self.reference, self.candidate)
        spent: dict[bool, list[Spent]] = {True: [], False: []}
        asking: list[float] = []
        queueing: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(_UNQUEUED):
            for side in sides:
                for slot in range(count):
                    side.write(shown[slot % len(shown)], slot)
                frame, took = side.call(self.timeout_s, count)
                spent[side.trusted].append(took)
                queueing[side.trusted].append(float(frame.code))
            asking.append(self.reference.call(self.timeout_s, 0)[1].wall)
        # What a program says of its queueing it says to its own harm: too little, and its calls wait for the host.
        longest = max(map(_median, queueing.values()))
        self.wait_ns = int(min(_QUEUED * longest + _MORE_QUEUED_NS, _MOST_QUEUED_NS))
        usual = max(s.outside for s in spent[True])
        if all(s.outside > unexplained(usual, 1, count, s.own) for s in spent[False]):
            raise contradicted(spent[False][0], count, usual)
        walls = {t: _median([s.wall for s in spent[t]]) for t in spent}
        reference, candidate = (max(walls[t] - _median(asking), 0.0) / count / 1e3 for t in (True, False))
        self.pairs.whole_us = reference, candidate

    def _ring(self) -> int:
        """Slots that answers may use: one for a program whose outputs share memory from call to call."""
        if slots(self.problem) < 2:
            return 1
        side = self.candidate
        for slot in range(2):
            side.write(self.next()[0], slot)
        frame, _spent = side.call(self.timeout_s, 2)
        first, second = side.one(frame, 0).words, side.one(frame, 1).words
        words = zip(self.problem.output_leaves, first, second, strict=True)
        return 1 if any(leaf.nbytes and a == b for leaf, a, b in words) else slots(self.problem)

    # --- pairs ----------------------------------------------------------------------------------

    def run(self, count: int) -> None:
        """Add `count` pairs, fewer for a hopeless loser. Raises Wrong, Cheat and what a child raises."""
        for _ in range(count):
            if self.hopeless() or (self.pairs.spent and time.monotonic() > self.deadline):
                break
            self.pairs.spent.append(self._pair(self.pairs.calls))
        self._audit()

    def singles(self, count: int) -> list[float]:
        """Log ratios of `count` pairs with one call an answer. A program can't work ahead in them. Raises as `run`."""
        alone = Pairs([self._pair(1) for _ in range(count)], answers=self.pairs.answers)
        alone.settle(self.asking(0.5))
        return alone.d

    def _pair(self, calls: int) -> tuple[Spent, Spent]:
        first = self.rng.random() < 0.5
        if self.rng.random() < _DECOY_SHARE:
            # Looks like any other call but draws from another law, one never shown before, and is always checked.
            draw = self.rng.choice(self.problem.decoys)
            inputs = draw.inputs
            with self.candidate.unaccounted():
                check_draw(self.problem, self.candidate, draw, self.timeout_s, "in a later call: ")
            self.reference.write(inputs)
            self.reference.call(self.timeout_s)  # both have the same past
        if self.pairs.answers > 1:  # a long call on a GPU is queued before it begins, whoever slept
            for side in self.order(not first):  # both awake
                side.call(self.timeout_s, 0)
        reference, candidate = Spent(), Spent()
        for order in (first, not first)[: self.pairs.answers]:
            spent = self.block(calls, first_is_reference=order, wait_ns=self.wait_ns)
            reference, candidate = reference + spent[True], candidate + spent[False]
        return reference, candidate

    def block(
        self, count: int, *, first_is_reference: bool, wait_ns: int = 0, awake: bool = False
    ) -> dict[bool, Spent]:
        """One answer of each side, `count` calls on the same new contents: what they took, True for the reference.

        awake: each is asked for nothing before it is given its inputs, so that asking costs less.
        Every answer is looked at, on a GPU some calls of it; some that were chosen afterwards are compared in full.
        Raises Wrong, Cheat and what a child raises.
        """
        contents = [self.next() for _ in range(count)]
        places = [self.places() for _ in range(count)]
        spent: dict[bool, Spent] = {}
        spots: dict[bool, list[list[torch.Tensor]]] = {}
        full: dict[bool, dict[int, list[torch.Tensor]]] = {}
        answers: list[Frame] = []  # the candidate's, call by call
        chosen: list[int] = []
        looked = self.rng.sample(range(count), min(count, _LOOKED_AT[self._kind]))
        for side in self.order(first_is_reference):
            if awake:
                side.call(self.timeout_s, 0)
            for i, (block, _law) in enumerate(contents):
                side.write(block, i)
            frame, spent[side.trusted] = side.call(self.timeout_s, count, wait_ns)
            self.waited(wait_ns, short=bool(frame.code))
            self._alone(side)
            if not spots:
                chosen = [i for i, (_, law) in enumerate(contents) if self.rng.random() < _CHECKED[law]]
            parts = [side.one(frame, i) for i in range(count)]
            spots[side.trusted] = [side.spots(parts[i], places[i]) for i in looked]
            full[side.trusted] = {i: [t.clone() for t in side.outputs(parts[i])] for i in chosen}
            answers = answers if side.trusted else parts
        for i, got, want in zip(looked, spots[False], spots[True], strict=True):
            self._check_spots(got, want, contents[i][1])
        for i in chosen:
            block, law = contents[i]
            self._check(full[False][i], full[True][i], answers[i], i, block, law)
        return spent

    def waited(self, wait_ns: int, *, short: bool) -> None:
        """An answer was waited for so long, too short for all its calls to be queued or not. The wait gets only ever
        longer, and for both sides: no answer is left out for what a program says."""
        if wait_ns and short and self._longer < _MOST_LONGER:
            self._longer += 1
            self.wait_ns = int(min(_LONGER * wait_ns, _MOST_QUEUED_NS))

    def next(self) -> tuple[torch.Tensor, str]:
        """Contents that this process pair has not seen, and their law."""
        self._number += 1
        return self.problem.contents(self._number - 1)

    def order(self, first_is_reference: bool) -> tuple[Side, Side]:
        return (self.reference, self.candidate) if first_is_reference else (self.candidate, self.reference)

    def hopeless(self) -> bool:
        """At least twice as slow in each of three pairs: more of them would only cost time."""
        return len(self.pairs) >= HOPELESS_PAIRS and all(c.own > 2 * r.own for r, c in self.pairs.spent)

    # --- checks ---------------------------------------------------------------------------------

    def _alone(self, side: Side) -> None:
        """Raises Cheat for a candidate that has other processes."""
        if not side.trusted and len(side.child.family()) > 1:
            raise Cheat("the program leaves processes running between calls")

    def _check(
        self,
        got: list[torch.Tensor],
        want: list[torch.Tensor],
        answer: Frame,
        slot: int,
        contents: torch.Tensor,
        law: str,
    ) -> None:
        """One call of the candidate in full. want: the reference's own output on the same contents. Raises Wrong."""
        # Both err, so the allowance against the reference's own output is twice that against the yardstick.
        tolerances = [allowed_of(t, b) for t, b in zip(self.problem.tolerances[law], want, strict=True)]
        message = compare.check(got, want, tolerances, self.problem.names)
        context = "in a timed call: "
        if message:
            raise Wrong(f"{context}{message} (inputs: {law})")
        left = self.problem.left_in(self.reference.slot(slot))
        allowed = [t.times(2.0) for t in self.problem.left_tolerances[law]]
        check_left(self.problem, self.candidate, contents, left, allowed, context, slot)
        check_memory(self.problem, self.candidate, contents, got, answer, context, slot)

    def places(self) -> list[np.ndarray]:
        """Secret element offsets in every output leaf, new for each call: every timed answer is looked at a little."""
        return [self._numbers.integers(0, max(leaf.elements, 1), _SPOTS) for leaf in self.problem.output_leaves]

    def _check_spots(self, got: list[torch.Tensor], want: list[torch.Tensor], law: str) -> None:
        for a, b, tolerance, name in zip(got, want, self.problem.tolerances[law], self.problem.names, strict=True):
            if a.numel() and not compare.Errors.between(a, b).peak <= allowed_of(tolerance, b).peak:
                raise Wrong(f"in a timed call: {name} is wrong at a place looked at (inputs: {law})")

    def _audit(self) -> None:
        """CPU time outside the timed interval is a cheat; makes the pairs' log ratios."""
        side = self.candidate
        if not side.own_ns or not self.pairs.spent:
            return
        audit(side.own_ns, side.outside_ns, self.asking(0.9))
        self.pairs.settle(self.asking(0.5))

    def asking(self, quantile: float) -> float:
        """CPU time (ns) that an answer costs the reference beside its calls, at a quantile."""
        seen = self.reference.outside_ns
        return float(np.quantile(seen, quantile)) if seen else 0.0


def allowed_of(tolerance: Tolerance, want: torch.Tensor) -> Tolerance:
    """Of a timed call: twice the law's, but no less than some last places of what this call's outputs are like. One odd
    element can make them many times larger than those that the tolerance was measured on."""
    twice = tolerance.times(2.0)
    if not want.dtype.is_floating_point or want.dtype in NARROW or not want.numel():
        return twice
    last = _LAST_PLACES * torch.finfo(want.dtype).eps
    typical = float(torch.linalg.vector_norm(want)) / want.numel() ** 0.5
    least = Tolerance(last * compare.scale_of(want), last * typical)
    if not (math.isfinite(least.peak) and math.isfinite(least.rms)):
        return twice
    return Tolerance(max(twice.peak, least.peak), max(twice.rms, least.rms), twice.row)


def unexplained(usual: float, answers: int, calls: int, own: float) -> float:
    """Time (ns) outside the timer from which on its answers are doubted. usual: the reference's, of as many answers."""
    return 2 * usual + answers * _ANSWER_MORE_NS + calls * _CALL_MORE_NS + _MORE_SHARE * own


def contradicted(candidate: Spent, calls: int, usual: float) -> Cheat:
    return Cheat(
        f"the program's timer says {candidate.own / 1e6:.2f} ms for {calls} calls, they took its process "
        f"{candidate.cpu / 1e6:.2f} ms by clocks it can't reach (the reference {usual / 1e6:.2f} ms beside its own)"
    )


def audit(own_ns: Sequence[float], outside_ns: Sequence[float], usual: float) -> None:
    """Raises Cheat for answers with CPU time outside the timed interval. usual: the reference's, high (ns).

    CPU time, not waiting: a busy machine makes everybody wait, but only work uses a process's own clock. Or so says the
    kernel: a host that takes the core away lengthens single readings, so most of several must agree.
    """
    typical, outside = _median(own_ns), sorted(outside_ns)[(len(outside_ns) - 1) // 2]
    if len(own_ns) >= _AUDITED and outside > 2 * usual + _SLACK_NS + _SLACK_SHARE * typical:
        raise Cheat(
            f"the process used {outside / 1e3:.0f} us of CPU per answer outside the timed interval "
            f"of {typical / 1e3:.0f} us ({usual / 1e3:.0f} us for the reference)"
        )


def _log_ratio(reference_ns: float, candidate_ns: float) -> float:
    return math.log(max(reference_ns, 1.0) / max(candidate_ns, 1.0))


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2] if values else 0.0
