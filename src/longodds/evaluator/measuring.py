"""How speed is decided: one process pair screens, fresh ones confirm, a verdict says what they support."""

from __future__ import annotations

import contextlib
import math
import random
import time
from collections.abc import Generator, Sequence
from dataclasses import replace

import numpy as np

from longodds.evaluator import forks, stats, timing
from longodds.evaluator.bounding import Bound, prepare
from longodds.evaluator.calibration import Calibration
from longodds.evaluator.pairing import open_pairs
from longodds.evaluator.problem import Problem
from longodds.evaluator.processes import Processes
from longodds.evaluator.settings import EvaluatorSettings
from longodds.evaluator.sides import Side
from longodds.evaluator.timing import Meter, Pairs
from longodds.types import (
    FEW_PAIRS_LABEL,
    FEW_PROCESSES_LABEL,
    REMEASURED,
    THIN_LABEL,
    UNTIMED_LABEL,
    Verdict,
)

_BATCHES = (4, 8, 16, 32)  # batch pairs behind a bound: more where these do not settle it
_SHOWN_ALONE = 0.25  # of what the timers of many calls claim, that single calls must show
_SINGLES = 4  # pairs of single calls of each process pair behind it


class Measuring:
    """Times candidates against the reference. rng: the oracle's secret one."""

    def __init__(self, settings: EvaluatorSettings, processes: Processes, rng: random.Random) -> None:
        self.settings, self.processes, self.rng = settings, processes, rng
        self.calibration = Calibration.load(settings.calibration, settings.device)
        self.resolution = stats.RESOLUTION[settings.device]
        self.screening = self.calibration.process_pairs(stats.SCREENING_PAIRS[settings.device])
        self.fresh = self.calibration.process_pairs(stats.PROCESS_PAIRS)

    def screen(self, problem: Problem, program: str, reference: Side, candidate: Side) -> tuple[list[Pairs], bool]:
        """Time the process pair given and as many more as screening takes; (their pairs, whether it looks faster).

        Stops when the answer is clear. Raises Judged, InfraError and what a child raises.
        """
        most, processes = self.settings.max_pairs, self.screening
        first = self._meter(problem, reference, candidate)
        first.warm()
        first.run(max(stats.LOOKS[0] // processes, timing.HOPELESS_PAIRS))
        if first.hopeless() or time.monotonic() > first.deadline:
            return [first.pairs], False
        spread = self._spread([first.pairs])
        with self._process_pairs(problem, program, [0] * (processes - 1)) as more:
            meters = [first, *more]
            parts = [meter.pairs for meter in meters]
            last = max(n for n in stats.LOOKS if n <= max(most, self.settings.min_pairs))
            for pairs in range(stats.STEP, last + 1, stats.STEP):
                for meter in meters:
                    meter.run(pairs // processes - len(meter.pairs))
                if not all(parts):
                    return [first.pairs], False
                pooled = [x for part in parts for x in part.d[: pairs // processes]]
                looks = stats.screened(pooled, most, spread, self.resolution, processes, self.fresh)
                settled = (looks is not None and pairs >= self.settings.min_pairs) or meters[-1].hopeless()
                if settled or time.monotonic() > first.deadline:
                    return parts, looks is True
            return parts, False

    def _meter(self, problem: Problem, reference: Side, candidate: Side) -> Meter:
        deadline = time.monotonic() + self.settings.max_timing_s
        return Meter(problem, reference, candidate, self.rng, self.settings.run_timeout_s, deadline)

    @contextlib.contextmanager
    def _process_pairs(self, problem: Problem, program: str, numbers: Sequence[int]) -> Generator[list[Meter]]:
        """Process pairs, all new forks of the fork servers with these numbers, warmed. Raises Judged, InfraError."""
        self.processes.spares.settle()
        with contextlib.ExitStack() as stack:
            meters = [
                self._meter(problem, pair.reference, pair.candidate)
                for pair in open_pairs(self.processes, problem, program, numbers, stack)
            ]
            for meter in meters:  # starting processes takes its own time
                meter.warm()
                meter.deadline = time.monotonic() + self.settings.max_timing_s
            if meters and self.processes.builds.find(program) is None:
                self.processes.keep_built(meters[0].candidate, program)
            yield meters

    def confirm(
        self,
        problem: Problem,
        program: str,
        blank: Verdict,
        screened: list[Pairs] | None = None,
        *,
        fresh: int,
        family: int = 1,
    ) -> Verdict:
        """`faster` needs fresh process pairs: other fork servers, reference and candidate both new; only these count.

        fresh: how many. family: number of programs of which this one is the best; divides the level. Raises Judged,
        InfraError.
        """
        if fresh < self.fresh:
            blank = replace(blank, labels=(*blank.labels, FEW_PROCESSES_LABEL))
        bound = Bound()
        numbers = [1 + number % forks.FRESH for number in range(fresh)]
        with self._process_pairs(problem, program, numbers) as meters:
            parts = [m.pairs for m in meters]
            for look in [n for n in stats.LOOKS[1:] if n <= max(self.settings.max_pairs, 16)]:
                for meter in meters:
                    meter.run(look // fresh - len(meter.pairs))
                if not all(parts):
                    break
                if self._faster(parts, family):
                    self._bound(bound, meters, self._interval(parts, family=family).median)
                    if max(bound.low(), self._interval(parts, "outer", family).low) > 0:
                        break
                if self._over(parts, family, meters):
                    break
        if not all(parts):  # too slow for the time there is
            return self.report(blank, screened or [])
        return self.report(blank, parts, bound=bound, family=family)

    def _over(self, parts: list[Pairs], family: int, meters: list[Meter]) -> bool:
        """Whether more pairs would not help: it is slower or the same, or the time is over."""
        pooled = [x for p in parts for x in p.d]
        done = self._interval(parts, family=family).high < 0
        most = self.settings.max_pairs
        done = done or stats.futile(pooled, most, self._spread(parts), self.resolution, len(parts))
        return done or time.monotonic() > min(m.deadline for m in meters)

    def _bound(self, bound: Bound, meters: list[Meter], claimed: float) -> None:
        """Pairs of single calls, then as many batch pairs as settle it. claimed: by the timers, a log ratio."""
        for meter in meters if not bound else ():
            bound.alone += meter.pairs.d if meter.pairs.calls == 1 else meter.singles(_SINGLES)
            prepare(meter)
        for most in _BATCHES:
            while len(bound) < most and (len(bound) < _BATCHES[0] or time.monotonic() < meters[0].deadline):
                bound.add(meters[len(bound) % len(meters)])
            if bound.settles(claimed):
                break

    def _faster(self, parts: list[Pairs], family: int) -> bool:
        """The child's timer says faster, in every process pair."""
        return stats.confirmed([p.d for p in parts], self.settings.max_pairs, self._spread(parts), family)

    def _interval(self, parts: list[Pairs], clock: str = "d", family: int = 1) -> stats.Interval:
        values = [getattr(part, clock) for part in parts]
        return stats.claim(values, self.settings.max_pairs, self._spread(parts), family)

    def _spread(self, parts: list[Pairs]) -> float:
        """Between process pairs: what was calibrated, and no less than launching gives."""
        return max(self.calibration.between(part.launches, part.call_us(True)) for part in parts)

    def pairs(self, problem: Problem, program: str, number: int, count: int) -> Pairs:
        """Timings of one fresh process pair, nothing decided: what calibration is made of.

        Raises InfraError, and Judged when the program fails.
        """
        with self._process_pairs(problem, program, [number]) as (meter,):
            meter.run(count)
            return meter.pairs

    def remeasure(self, problem: Problem, program: str, blank: Verdict, among: int, fresh: int) -> Verdict:
        """The verdict on a winner: timed in processes that no program has been timed in, at LEVEL divided by `among`.

        Its interval is the one at that level. Raises Judged, InfraError.
        """
        self.processes.servers.renew()
        verdict = self.confirm(problem, program, blank, fresh=fresh, family=max(among, 1))
        lows = () if verdict.ci_low is None else ((max(among, 1), verdict.ci_low),)
        return replace(verdict, labels=(*verdict.labels, REMEASURED), family_low=lows)

    def report(self, blank: Verdict, parts: list[Pairs], *, bound: Bound | None = None, family: int = 1) -> Verdict:
        """The verdict's numbers. Faster is granted only by fresh process pairs (those come with a bound) whose timers
        and outer clocks agree."""
        if not all(parts) or not parts:
            return replace(blank, labels=(*blank.labels, UNTIMED_LABEL))
        own, outer = (self._interval(parts, clock, family) for clock in ("d", "outer"))
        low, point, supported = own.low, own.median, outer.low
        labels = list(blank.labels) + list(self.calibration.labels)
        if self.processes.servers.lease.shared:
            labels.append(self.processes.servers.lease.label)
        if bound is not None and len(bound):
            supported = max(supported, bound.low())
            # No more is claimed than the outer clocks support, in batches or call by call, but for a slack.
            most = max(bound.most(), min(outer.median, max(bound.wall)))
            # Nor than single calls show: a program can't work ahead in those. That asking takes longer than a short
            # call, and hides its gain, makes it no slower.
            alone = float(np.median(bound.alone))
            most = min(most, alone) + stats.SLACK
            point, low = min(point, max(most, 0.0)), min(low, most)
            # What single calls hardly show at all is done for several at once, and the slack is not for that.
            if alone < _SHOWN_ALONE * own.low:
                low = min(low, 0.0)
            if bound.thin:
                labels.append(THIN_LABEL)
        granted = low > 0 and supported > 0 and bound is not None and self._faster(parts, family)
        if own.low > 0 and not granted:
            low = min(low, 0.0, supported)
            labels.append("unconfirmed")
        if not math.isfinite(low):
            # Too few pairs for any exact interval (a hopeless loser): the extremes, and the verdict says so.
            labels.append(FEW_PAIRS_LABEL)
        lows = [(m, min(low, self._interval(parts, family=m).low)) for m in stats.FAMILIES]
        return replace(
            blank,
            speedup=math.exp(point),
            ci_low=_finite(low),
            ci_high=_finite(max(own.high, point)),
            clock_bound=_finite(supported),
            pairs=own.pairs,
            reference_us=sum(p.call_us(True) for p in parts) / len(parts),
            runtime_us=sum(p.call_us(False) for p in parts) / len(parts),
            reference_end_to_end_us=_mean([p.whole_us[0] for p in parts if p.whole_us]),
            runtime_end_to_end_us=_mean([p.whole_us[1] for p in parts if p.whole_us]),
            labels=tuple(labels),
            family_low=tuple((m, math.exp(x)) for m, x in lows if math.isfinite(x)),
        )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _finite(log_ratio: float) -> float | None:
    return math.exp(log_ratio) if math.isfinite(log_ratio) else None
