"""Sequential statistics of paired timings: exact median intervals, error spent over a fixed schedule of looks.

d = log(t_reference / t_candidate) of a pair; the point estimate is exp(median d). An interval (x_(k), x_(n+1-k))
of order statistics covers the median with probability 1 - 2 P(Bin(n, 1/2) < k) whatever the distribution (David
and Nagaraja, Order Statistics, 3rd ed., section 7.1). Looking several times spends the error bit by bit (Bonferroni
over the looks). Repetition inside one process can't average out what the process fixed, so the interval is widened
by the between-process spread that `longodds calibrate` measured. See docs/statistics.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np

LEVEL = 0.01  # two-sided error of the whole procedure
# Process pairs that a program is screened in. Screening only drops programs, and on a GPU processes hardly differ.
SCREENING_PAIRS = {"cpu": 2, "cuda": 1}
PROCESS_PAIRS = 4  # fresh process pairs that a `faster` verdict rests on; divides the looks from the second on
CROWD = 2  # times as many of both where processes were seen to differ by more than NOISY (sd of the log speedup)
NOISY = 0.02
LOOKS = (8, 16, 32, 64)
STEP = 8  # pairs after which a screening may end for futility
_SHARE = {16: 0.25, 32: 0.35, 64: 0.40}  # of LEVEL; the look at 8 is screening's alone and spends nothing
# Conservative spread (sd of log speedup between process pairs of one program) until calibrated, by device class.
DEFAULT_SPREAD = {"cpu": 0.025, "cuda": 0.005}
# What a process takes from one kernel to the next on a GPU is its own for as long as it lives: by so much two processes
# differ (sd, microseconds a launch). 0.07 on an H200, in docs/data/launch_gaps_h200.jsonl, on one machine: so more.
_LAUNCH_US, _MOST_LAUNCHING = 0.12, 0.06
_MAD = 1.4826  # standard deviation over median absolute deviation, of a normal distribution
SLACK = math.log(1.05)  # by which a claim may exceed what the outer clocks support
FAMILIES = (4, 16, 64, 256)  # sizes for which a verdict carries a lower bound valid for the best of so many


@dataclass(frozen=True, slots=True)
class Resolution:
    """same: log of a gain that is not worth looking for. precise: standard error of the log speedup at which a program
    may be called the same; at_once: that at which it is, however few pairs there are and whichever way all of them
    lean."""

    same: float
    precise: float
    at_once: float = 0.0


RESOLUTION = {"cpu": Resolution(math.log(1.03), 0.0125), "cuda": Resolution(math.log(1.005), 0.004, 0.002)}


@dataclass(frozen=True, slots=True)
class Interval:
    """Of the log speedup. median: point estimate; pairs behind it."""

    low: float
    median: float
    high: float
    pairs: int

    def widened(self, by: float) -> Interval:
        return Interval(self.low - by, self.median, self.high + by, self.pairs)


@lru_cache(maxsize=1024)
def rank(n: int, level: float) -> int:
    """Largest k with 2 P(Bin(n, 1/2) < k) <= level; 0 if even the extremes do not reach the level."""
    total, k, tail = 2.0**n, 0, 0.0
    while True:
        tail += math.comb(n, k) / total
        if 2 * tail > level:
            return k
        k += 1


def median_interval(d: Sequence[float], level: float) -> Interval:
    """Exact interval for the median of the pairs' log ratios; infinite where n is too small for the level."""
    x = np.sort(np.asarray(d, dtype=float))
    n = len(x)
    k = rank(n, level)
    low, high = (float(x[k - 1]), float(x[n - k])) if k else (-math.inf, math.inf)
    return Interval(low, float(np.median(x)), high, n)


def look_level(look: int, last: int, total: float = LEVEL) -> float:
    """The error to spend at a look of the schedule that ends at `last` pairs, of `total` for the whole schedule.

    Where time ran out between two looks it is the later one's. The look before the first that can call anything faster
    spends nothing of the schedule's; it is a screening's, which can't call anything faster.
    """
    shares = {n: s for n, s in _SHARE.items() if n <= last}
    if look <= LOOKS[0] or not shares:
        return total
    return total * shares[min((n for n in shares if n >= look), default=max(shares))] / sum(shares.values())


def futile(
    d: Sequence[float],
    most: int,
    spread: float,
    resolution: Resolution = RESOLUTION["cpu"],
    fresh: int = PROCESS_PAIRS,
) -> bool:
    """Whether more pairs would not help: a gain worth finding has become unlikely (one-sided 5 %), or one that `most`
    pairs of `fresh` process pairs could confirm more often than not; and the estimate is good enough to stop at.

    Stopping for futility can't call anything faster, so it costs no part of the level.
    """
    error = median_error(d)
    confirmable = widening(spread, fresh) + z(LEVEL) * error * math.sqrt(len(d) / most)
    return error < resolution.precise and median_interval(d, 0.10).high < max(resolution.same, confirmable)


def median_error(d: Sequence[float]) -> float:
    """Standard error of the median, from the median absolute deviation: sqrt(pi/2) s / sqrt(n) for normal noise."""
    x = np.asarray(d, dtype=float)
    return math.sqrt(math.pi / 2 / len(x)) * _MAD * float(np.median(np.abs(x - np.median(x))))


def z(level: float) -> float:
    """Standard normal quantile of a two-sided error; no scipy here, which every process would load for a second."""
    return -NormalDist().inv_cdf(level / 2)


def widening(spread: float, processes: int, total: float = LEVEL) -> float:
    """Half-width to add for what each of `processes` process pairs fixed (sd `spread` of the log speedup)."""
    return z(total) * spread / math.sqrt(max(processes, 1))


def screened(
    d: Sequence[float],
    most: int,
    spread: float,
    resolution: Resolution = RESOLUTION["cpu"],
    processes: int = SCREENING_PAIRS["cpu"],
    fresh: int = PROCESS_PAIRS,
) -> bool | None:
    """After these pairs, of so many process pairs: True if it looks faster, False if more pairs would not help, else
    None. May be asked every STEP pairs; it looks faster only at LOOKS.

    most: the last look of the schedule. spread: sd of the log speedup between process pairs. fresh: how many of them
    are there to confirm it.
    """
    look = len(d)
    # Two processes always differ by a little: where that little is seen at once, it is no gain to confirm.
    if median_error(d) < resolution.at_once and futile(d, most, spread, resolution, fresh):
        return False
    if look in LOOKS:
        at = median_interval(d, LEVEL if look == LOOKS[0] else look_level(look, most))
        if at.low > 0:
            return True
        if at.high + widening(spread, processes) < 0:
            return False
    return False if look > LOOKS[0] and futile(d, most, spread, resolution, fresh) else None  # so few can agree by luck


def launch_spread(launches: int, reference_us: float) -> float:
    """Least spread (sd of the log speedup) between process pairs on a GPU: what launching gives, for a reference of
    so many `Demands.launches` in a call of so many microseconds."""
    return min(_LAUNCH_US * launches / max(reference_us, 1e-9), _MOST_LAUNCHING)


def claim(parts: Sequence[Sequence[float]], most: int, spread: float, family: int = 1) -> Interval:
    """The interval that fresh process pairs support, valid at all looks together; LEVEL is divided by `family`.

    parts: log ratios of each process pair, equally many.
    """
    total = LEVEL / family
    pooled = [x for part in parts for x in part]
    return median_interval(pooled, look_level(len(pooled), most, total)).widened(widening(spread, len(parts), total))


def confirmed(parts: Sequence[Sequence[float]], most: int, spread: float, family: int = 1) -> bool:
    """Whether the claim excludes 1 and the process pairs lean the same way, all but one of CROWD * PROCESS_PAIRS."""
    against = sum(float(np.median(part)) <= 0 for part in parts)
    return against <= len(parts) // (CROWD * PROCESS_PAIRS) and claim(parts, most, spread, family).low > 0


def between_process_sd(groups: Sequence[Sequence[float]]) -> float:
    """Spread between process pairs of unchanged programs, what repetition inside a process can't average out.

    groups: log ratios of one process pair each, of fork servers as fresh as possible. Method of moments: the mean
    square of the groups' medians less what the scatter inside the groups explains (variance of a median: pi/2 s^2 / n
    for normal noise). Never less than the standard error of that difference, sqrt(2/G) of what it subtracts: a smaller
    spread could not have been seen, and an estimate of zero is luck.
    """
    medians = np.array([np.median(g) for g in groups])
    inside = float(np.mean([median_error(g) ** 2 for g in groups]))
    unseen = inside * math.sqrt(2 / len(groups))
    return math.sqrt(max(float(np.mean(medians**2)) - inside, unseen))
