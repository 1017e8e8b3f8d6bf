"""The bound of a claim: batches of at least 50 ms on both sides, by clocks that the program can't reach.

What asking costs beside the program, and could be saved by a hostile one, is small against a batch. Every input slot is
written before its calls and read once; every answer of a batch is looked at, and some that were chosen afterwards are
compared in full. A timer that leaves out more than asking can cost is no timer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from longodds.evaluator import stats
from longodds.evaluator.ring import slots
from longodds.evaluator.timing import Cheat, Meter, Spent

BATCH_NS = 50_000_000
_MOST_CALLS = 256
_CHECKED_SHARE = 0.1
# CPU time outside the timer that is no accusation: for an answer, for a call, and of the batch.
_ANSWER_NS, _CALL_NS, _SHARE = 150_000, 15_000, 0.01
_TIMES = 2


@dataclass
class Bound:
    """Batch pairs of one program against the reference, of all its process pairs.

    cpu, wall: log ratios by CPU time and by the oracle's clock, the candidate given no credit for what asking costs.
    """

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    accusations: int = 0

    def __len__(self) -> int:
        return len(self.cpu)

    def low(self) -> float:
        """Lower bound of the median of the batches' CPU ratios: right with 94 % at 4 pairs, 96 % at 8."""
        return sorted(self.cpu)[stats.rank(len(self.cpu), 0.125) - 1] if len(self.cpu) >= 4 else -math.inf

    def middle(self) -> float:
        return sorted(self.cpu)[(len(self.cpu) - 1) // 2] if self.cpu else -math.inf

    def most(self) -> float:
        """The most that the outer clocks support: the middle CPU ratio, and no more than the best ratio of walls."""
        return min(self.middle(), max(self.wall, default=-math.inf))

    def add(self, meter: Meter) -> None:
        """One batch pair. Raises Cheat, Wrong and what a child raises."""
        reference, candidate, answers, calls = _batch_pair(meter)
        usual = max(reference.excess, answers * meter.asking(0.9))
        limit = 2 * usual + answers * _ANSWER_NS + calls * _CALL_NS + _SHARE * candidate.own
        self.accusations += candidate.excess > limit
        if self.accusations >= _TIMES:
            raise Cheat(
                f"the program's timer says {candidate.own / 1e6:.2f} ms for {calls} calls, its process used "
                f"{candidate.cpu / 1e6:.2f} ms of CPU (the reference {usual / 1e6:.2f} ms beside its own)"
            )
        spare = max(reference.excess, answers * meter.asking(0.5), answers * _ANSWER_NS)
        self.cpu.append(_log(reference.cpu - spare, candidate.cpu))
        self.wall.append(_log(reference.wall - spare, candidate.wall))


def _log(reference: float, candidate: float) -> float:
    return math.log(max(reference, 1.0) / max(candidate, 1.0))


def _calls(meter: Meter) -> int:
    """Calls of a batch: on both sides at least BATCH_NS by the timers so far, unless that takes too many."""
    reference, candidate = meter.pairs.call_us(True) * 1e3, meter.pairs.call_us(False) * 1e3
    # A claim of several times needs no such precision of the candidate's side: then the reference's time decides.
    return min(_MOST_CALLS, math.ceil(BATCH_NS / max(min(reference, 4 * candidate), 1.0)))


def _ring(meter: Meter) -> int:
    return 1 if meter.same_memory else slots(meter.problem)


def _batch_pair(meter: Meter) -> tuple[Spent, Spent, int, int]:
    """(reference, candidate, answers, calls) of a batch."""
    wanted = _calls(meter)
    answers = -(-wanted // _ring(meter))
    total = {True: Spent(), False: Spent()}
    for i in range(answers):
        for trusted, spent in _ring_pair(meter, wanted // answers + (i < wanted % answers)).items():
            total[trusted] += spent
    return total[True], total[False], answers, wanted


def _ring_pair(meter: Meter, count: int) -> dict[bool, Spent]:
    """`count` calls of each side on the same new contents, in random order of the sides."""
    contents = [meter.next() for _ in range(count)]
    spent: dict[bool, Spent] = {}
    spots: dict[bool, list[list[torch.Tensor]]] = {}
    full: dict[bool, dict[int, list[torch.Tensor]]] = {}
    places = [meter.places() for _ in range(count)]
    chosen: list[int] = []
    for side in meter.order(meter.rng.random() < 0.5):
        for slot, (block, _law) in enumerate(contents):
            side.write(block, slot)
        frame, spent[side.trusted] = side.call(meter.timeout_s, count)
        meter.alone(side)
        if not chosen:
            chosen = [i for i in range(count) if meter.rng.random() < _CHECKED_SHARE] or [meter.rng.randrange(count)]
        parts = [side.one(frame, i) for i in range(count)]
        spots[side.trusted] = [side.spots(part, where) for part, where in zip(parts, places, strict=True)]
        full[side.trusted] = {i: [t.clone() for t in side.outputs(parts[i])] for i in chosen}
    for i, (_block, law) in enumerate(contents):
        meter.check_spots(spots[False][i], spots[True][i], law)
    for i in chosen:
        meter.check_outputs(full[False][i], full[True][i], contents[i][1])
    return spent


def prepare(meter: Meter) -> None:
    """Before the first batch of a process pair: how its answers must be fetched, and one answer that does not count, so
    that both sides have memory for as many outputs. Raises what a batch raises."""
    problem, side = meter.problem, meter.candidate
    meter.same_memory = slots(problem) < 2
    if not meter.same_memory:
        for slot in range(2):
            side.write(meter.next()[0], slot)
        frame, _spent = side.call(meter.timeout_s, 2)
        first, second = side.one(frame, 0).words, side.one(frame, 1).words
        words = zip(problem.output_leaves, first, second, strict=True)
        meter.same_memory = any(leaf.nbytes and a == b for leaf, a, b in words)
    _ring_pair(meter, min(_ring(meter), _calls(meter)))
