"""The bound of a claim: batches of at least 50 ms on both sides, by clocks that the program can't reach.

What asking costs beside the program, and could be saved by a hostile one, is small against a batch. Every input slot is
written before its calls and read once; every answer of a batch is looked at, and some that were chosen afterwards are
compared in full. A timer that leaves out more than asking can cost is no timer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from longodds.evaluator import stats
from longodds.evaluator.sides import Spent
from longodds.evaluator.timing import Meter, contradicted, unexplained

BATCH_NS = 50_000_000
_MOST_CALLS = {"cpu": 256, "cuda": 2048}
_ANSWERS, _LONGEST_NS = 2, 40 * BATCH_NS
# Of what asking costs the reference, what a program is credited with. On a GPU the oracle's clock holds all of it, up
# to a fifth of a batch of large tensors, and half of it would hide as large a gain: most of it is what no program can
# save, that of waking a process and of handing it the GPU. With most of it credited a program whose timer lies has
# little against it but chance, so chance gets less, and the verdict says so.
_CREDIT = {"cpu": 0.0, "cuda": 0.95}
_STRICT = 0.5
_LEVEL, _LEVEL_WITH_CREDIT = 0.125, 0.02  # two-sided, of the bound of a median
_PATIENCE = 16  # batches up to which more of them are made for how large a gain is, and not for whether there is one
_CLEAR = 0.01  # log of a gain that no chance makes
_ANSWER_NS = 150_000  # what an answer costs beside the program, at least
_TIMES, _TIMES_SHARE = 3, 0.5  # a host that takes a core away for some milliseconds looks the same, now and then


@dataclass
class Bound:
    """Batch pairs of one program against the reference, of all its process pairs.

    cpu, wall: log ratios by CPU time and by the oracle's clock, the candidate given no credit for what asking costs;
    on a GPU both by the oracle's clock, with most of that credit. strict: there with half of it. alone: log ratios of
    calls that were asked for one by one, by the child's timer. accused: of each batch, whether the outer clocks
    contradict the program's timer.
    """

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    strict: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    accused: list[bool] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.cpu)

    def low(self) -> float:
        """Lower bound of the median of the batches' CPU ratios: right with at least 94 %. On a GPU the same with half
        of the credit, where that is clear; else, with most of it, one that is right with 99 %."""
        if self.strict and _low(self.strict, _LEVEL) <= _CLEAR:
            return _low(self.cpu, _LEVEL_WITH_CREDIT)
        return _low(self.strict or self.cpu, _LEVEL)

    def high(self) -> float:
        """Upper bound of the same median, as good."""
        return -Bound(cpu=[-x for x in self.cpu]).low()

    @property
    def thin(self) -> bool:
        """Whether it supports the claim only if the program pays what asking usually costs."""
        return bool(self.strict) and _low(self.strict, _LEVEL) <= 0 < self.low()

    def most(self) -> float:
        """The most that the outer clocks support: the middle CPU ratio, and no more than the best ratio of walls."""
        return min(_middle(self.cpu), max(self.wall, default=-math.inf))

    def settles(self, claimed: float) -> bool:
        """Whether more batches would change little. They speak against a gain; or for one, and for as much as the
        timers claim (a log ratio) but for the slack, or clearly not for as much: batches of short calls vary, and a
        claim should be cut by what a program hides and not by chance."""
        if self.high() < 0:
            return True
        cut = len(self) < _PATIENCE and self.most() + stats.SLACK < claimed
        return self.low() > 0 and not (cut and claimed <= self.high() + stats.SLACK)

    def add(self, meter: Meter) -> None:
        """One batch pair. Raises Cheat, Wrong and what a child raises."""
        reference, candidate, answers, calls = _batch_pair(meter)
        self.accuse(candidate, max(reference.outside, answers * meter.asking(0.9)), answers, calls)
        credit = _CREDIT[meter.problem.device.kind] * reference.outside
        self.cpu.append(_log(reference.inside, candidate.cpu - credit))
        if meter.problem.on_gpu:
            self.wall.append(self.cpu[-1])
            self.strict.append(_log(reference.inside, candidate.wall - _STRICT * reference.outside))
        else:
            self.wall.append(_log(reference.wall - max(reference.outside, answers * _ANSWER_NS), candidate.wall))

    def accuse(self, candidate: Spent, usual: float, answers: int, calls: int) -> None:
        """Raises Cheat for a program that makes a habit of CPU time outside its timer. usual: what asking
        costs (ns)."""
        self.accused.append(candidate.outside > unexplained(usual, answers, calls, candidate.own))
        if sum(self.accused) >= max(_TIMES, _TIMES_SHARE * len(self.accused)):
            raise contradicted(candidate, calls, usual)


def _low(values: list[float], level: float) -> float:
    rank = stats.rank(len(values), level) if len(values) >= 4 else 0
    return sorted(values)[rank - 1] if rank else -math.inf


def _middle(values: list[float]) -> float:
    return sorted(values)[(len(values) - 1) // 2] if values else -math.inf


def _log(reference: float, candidate: float) -> float:
    return math.log(max(reference, 1.0) / max(candidate, 1.0))


def _calls(meter: Meter) -> int:
    """Calls of a batch: on both sides at least BATCH_NS by the timers so far, unless that takes too many."""
    reference, candidate = meter.pairs.call_us(True) * 1e3, meter.pairs.call_us(False) * 1e3
    # A claim of several times needs no such precision of the candidate's side: then the reference's time decides.
    return min(_MOST_CALLS[meter.problem.device.kind], math.ceil(BATCH_NS / max(min(reference, 4 * candidate), 1.0)))


def _batch_pair(meter: Meter) -> tuple[Spent, Spent, int, int]:
    """(reference, candidate, answers, calls) of a batch: some answers of each side, first in turn, as speed drifts."""
    wanted = _calls(meter)
    answers = min(wanted, max(_ANSWERS, -(-wanted // meter.ring)))
    total = {True: Spent(), False: Spent()}
    first = meter.rng.random() < 0.5
    calls = made = 0
    for i in range(answers):
        count = wanted // answers + (i < wanted % answers)
        spent_on = meter.block(count, first_is_reference=first != bool(i % 2), awake=meter.problem.on_gpu)
        for trusted, spent in spent_on.items():
            total[trusted] += spent
        calls, made = calls + count, i + 1
        # A timer that tells a hundredth asks for a hundred times the calls: some of them tell as much.
        if made % 2 == 0 and total[False].wall > _LONGEST_NS:
            break
    return total[True], total[False], made, calls


def prepare(meter: Meter) -> None:
    """Before the first batch of a process pair: one answer that does not count, so that both sides have memory for as
    many outputs. Raises what a batch raises."""
    meter.fill(min(meter.ring, -(-_calls(meter) // _ANSWERS)))
