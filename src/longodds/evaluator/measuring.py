"""How speed is decided: one process pair screens, fresh ones confirm, a verdict says what they support."""

from __future__ import annotations

import contextlib
import math
import random
import time
from dataclasses import replace

from longodds.evaluator import stats
from longodds.evaluator.calibration import Calibration
from longodds.evaluator.outcome import judged
from longodds.evaluator.problem import Problem
from longodds.evaluator.processes import Processes
from longodds.evaluator.settings import EvaluatorSettings
from longodds.evaluator.timing import TIMER_GAP, Meter, Pairs, Side
from longodds.types import Verdict


class Measuring:
    """Times candidates against the reference. rng: the oracle's secret one."""

    def __init__(self, settings: EvaluatorSettings, processes: Processes, rng: random.Random) -> None:
        self.settings, self.processes, self.rng = settings, processes, rng
        self.calibration = Calibration.load(settings.calibration, settings.device)

    def screen(self, problem: Problem, reference: Side, candidate: Side, most: int) -> tuple[Pairs, bool]:
        """Time one process pair; (pairs, whether it looks faster). Stops when the answer is clear."""
        deadline = time.monotonic() + self.settings.max_timing_s
        meter = Meter(problem, reference, candidate, self.rng, self.settings.run_timeout_s, deadline)
        meter.warm()
        for look in stats.LOOKS:
            if look > max(most, self.settings.min_pairs):
                break
            meter.run(look - len(meter.pairs))
            spread = stats.widening(self.calibration.spread, 1)
            at = stats.median_interval(meter.pairs.d, 0.01 if look == stats.LOOKS[0] else stats.look_level(look, most))
            if at.high + spread < 0 or meter.hopeless():
                return meter.pairs, False
            if at.low > 0:
                return meter.pairs, True
            if look > stats.LOOKS[0] and max(at.high, -at.low) < 0.01:
                return meter.pairs, False  # the same, to within a percent
            if time.monotonic() > deadline:
                break
        return meter.pairs, False

    def confirm(self, problem: Problem, program: str, blank: Verdict, screened: Pairs) -> Verdict:
        """`faster` needs fresh process pairs: other zygotes, reference and candidate both new; only these count."""
        fresh: list[Pairs] = []
        with contextlib.ExitStack() as stack:
            meters: list[Meter] = []
            deadline = time.monotonic() + self.settings.max_timing_s
            for number in range(1, stats.PROCESS_PAIRS + 1):
                reference = self.processes.trusted(problem, number)
                stack.callback(reference.child.close)
                child = stack.enter_context(self.processes.child(problem, program, "ModelNew", number))
                stack.enter_context(judged(child))
                self.processes.ready(child)
                side = Side(child, problem, trusted=False)
                meter = Meter(problem, reference, side, self.rng, self.settings.run_timeout_s, deadline)
                meter.warm()
                meters.append(meter)
            fresh = [m.pairs for m in meters]
            for look in [n for n in stats.LOOKS[1:] if n <= max(self.settings.max_pairs, 16)]:
                for meter in meters:
                    meter.run(look - len(meter.pairs))
                if self._agree(fresh) or self._interval(fresh).high < 0 or time.monotonic() > deadline:
                    break
        if not all(fresh):  # too slow for the time there is
            return self.report(blank, [screened], final=False)
        return self.report(blank, fresh, final=True)

    def _agree(self, parts: list[Pairs]) -> bool:
        """Both clocks exclude 1 and every process pair leans the same way."""
        leaning = all(sorted(p.d)[len(p.d) // 2] > 0 for p in parts)
        return leaning and self._interval(parts).low > 0 and self._interval(parts, "w").low > 0

    def _interval(self, parts: list[Pairs], clock: str = "d", family: int = 1) -> stats.Interval:
        total = stats.LEVEL / family
        level = stats.look_level(len(parts[0]), self.settings.max_pairs, total)
        pooled = [x for part in parts for x in getattr(part, clock)]
        return stats.median_interval(pooled, level).widened(stats.widening(self.calibration.spread, len(parts), total))

    def report(self, blank: Verdict, parts: list[Pairs], *, final: bool) -> Verdict:
        """The verdict's numbers. Faster is granted only if every clock and every process pair says so."""
        if not all(parts):
            return replace(blank, labels=(*blank.labels, "untimed"))
        own, wall, honest = (self._interval(parts, clock) for clock in ("d", "w", "honest"))
        low, point = own.low, own.median
        labels = list(blank.labels) + list(self.calibration.labels)
        if low > 0 and final and self._agree(parts):
            # No more is claimed than the oracle's clock, less the usual cost of asking, supports.
            low = min(low, honest.low + TIMER_GAP)
        elif low > 0:
            low = min(0.0, wall.low)
            labels.append("unconfirmed")
        if not math.isfinite(low):
            # Too few pairs for any exact interval (a hopeless loser): the extremes, and the verdict says so.
            labels.append("few_pairs")
        lows = [(m, min(low, self._interval(parts, family=m).low)) for m in stats.FAMILIES]
        reference = [x for p in parts for x in p.reference_us]
        candidate = [x for p in parts for x in p.candidate_us]
        return replace(
            blank,
            speedup=math.exp(point),
            ci_low=_finite(low),
            ci_high=_finite(max(own.high, point)),
            clock_bound=_finite(wall.low),
            pairs=own.pairs,
            reference_us=sorted(reference)[len(reference) // 2],
            runtime_us=sorted(candidate)[len(candidate) // 2],
            labels=tuple(labels),
            family_low=tuple((m, math.exp(x)) for m, x in lows if math.isfinite(x)),
        )

    def process_pair(self, problem: Problem, program: str, number: int, count: int) -> Pairs:
        """Timings of one fresh process pair, nothing decided: what calibration is made of.

        Raises InfraError, and Judged when the program fails.
        """
        side = self.processes.trusted(problem, number)
        try:
            with self.processes.child(problem, program, "ModelNew", number) as child, judged(child):
                self.processes.ready(child)
                candidate = Side(child, problem, trusted=False)
                meter = Meter(problem, side, candidate, self.rng, self.settings.run_timeout_s)
                meter.warm()
                meter.run(count)
        finally:
            side.child.close()
        return meter.pairs


def _finite(log_ratio: float) -> float | None:
    return math.exp(log_ratio) if math.isfinite(log_ratio) else None
