"""The price of a choice: what each way of choosing spends on timing, what it gets, and when likelihood is worth it.

Choosing by likelihood saves timings. Whether that matters depends on what a timing costs beside a sample: for the same
value one can also draw fewer samples and time all correct ones. The break-even price is where both cost the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from longodds.analysis.estimators import any_of_k, dense_grid, equivalent_k, expected_top_m, fast_flags, log_binomial
from longodds.analysis.outcomes import METRICS, ORACLE
from longodds.analysis.race import modelled_pairs, race
from longodds.analysis.scaling import bounds_of
from longodds.selection import TIMED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from longodds.analysis.outcomes import CellOutcome, Outcomes
    from longodds.analysis.pool import Pools, TaskPool
    from longodds.analysis.table import Table

    Floats = NDArray[np.float64]

WAYS = ("random", "most-confident", "surprisal", "random-top3", "surprisal-top3")
SCORED = {"surprisal": -1.0, "most-confident": 1.0, "surprisal-top3": -1.0, "confident-top3": 1.0}
"""Strategies with a break-even price; sign of the surprisal in ascending order of choice."""
RACES = 5
SUBSETS = 200
NOTES = {
    "model": "races are simulated: normal noise around each stored median, as wide as the stored interval of that many "
    "pairs implies",
    "live": "races were run: pairs timed on this machine, those of a candidate in several processes",
    "none": "no race: some correct candidates have no interval",
}


@dataclass(frozen=True, slots=True)
class Raced:
    """Live races by (task, replicate): key of the winner and pairs spent. seconds: wall-clock of the pairs that were
    run for them (`pairs_run`: a program that several cells share is timed once)."""

    finishes: Mapping[tuple[str, str], tuple[str, int]]
    seconds: float
    pairs_run: int


def price_document(
    table: Table, pools: Pools, found: Outcomes, metric: str, *, seed: int = 0, live: Raced | None = None
) -> dict[str, Any]:
    """The document `Price` of `longodds.analysis.documents`. live: races that were run instead of simulated."""
    prices = _prices(table)
    each = _pairs_by_key(table, pools)
    finishes = _live(found, live) if live else _simulated(found, each, seed)
    per_pair = prices["seconds_per_pair"]
    if live and live.pairs_run:
        per_pair = live.seconds / live.pairs_run
    ways = [_way(found, name, metric, each, per_pair) for name in (*WAYS, ORACLE)]
    source = "live" if live else "model" if finishes is not None else "none"
    share = 1.0
    if finishes is not None:
        ways.append(_race_way(found, metric, finishes, per_pair))
        oracle, racing = ways[-2]["pairs"], ways[-1]["pairs"]
        share = racing / oracle if oracle and racing is not None else 1.0
    return {
        "source": source,
        "races": 0 if finishes is None else 1 if live else RACES,
        "metric": metric,
        "seconds_per_pair": per_pair,
        "seconds_per_timing": prices["seconds_per_timing"],
        "seconds_per_sample": prices["seconds_per_sample"],
        "ways": ways,
        "break_even": _break_evens(pools, metric, prices, share if finishes is not None else None),
        "note": NOTES[source],
    }


def _median(values: Floats) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None


def _prices(table: Table) -> dict[str, float | None]:
    """Device seconds of a pair, of a timing beyond the check for correctness, and of a sample; of verdicts that ran."""
    own = table["duplicate"] != 1
    timed = own & np.isfinite(table["speedup"]) & (table["pairs"] > 0) & (table["seconds"] > 0)
    checked = own & ~np.isfinite(table["speedup"]) & (table["seconds"] > 0)
    with_timing, without = _median(table["seconds"][timed]), _median(table["seconds"][checked])
    timing = None if with_timing is None else max(with_timing - (without or 0.0), 0.0)
    pairs = _median(table["pairs"][timed])
    return {
        "seconds_per_pair": timing / pairs if timing is not None and pairs else None,
        "seconds_per_timing": timing,
        "seconds_per_sample": _median(table["sampling_seconds"]),
    }


def _pairs_by_key(table: Table, pools: Pools) -> dict[tuple[str, str], tuple[float, float]]:
    """(task, program or sample) -> (stored pairs, upper end of the interval) of a measurement of it."""
    timed = np.flatnonzero(table["speedup"] > 0)
    names = (
        (lambda i: table.programs[int(table.program[i])]) if pools.unit == "program" else table.sample_ids.__getitem__
    )
    return {
        (table.task_ids[int(table.task[i])], names(int(i))): (float(table["pairs"][i]), float(table["ci_high"][i]))
        for i in timed
    }


# --- ways of choosing --------------------------------------------------------------------------


def _way(
    found: Outcomes,
    name: str,
    metric: str,
    each: Mapping[tuple[str, str], tuple[float, float]],
    per_pair: float | None,
) -> dict[str, Any]:
    """Means over cells; a strategy that times m candidates spends m times the mean pairs of those it chose from."""
    pairs: list[float] = []
    for r in found.rows:
        stored = [each.get((r.cell.task_id, r.keys[i]), (math.nan, 0.0))[0] for i in r.chosen[name]]
        pairs.append(r.sizes[name] * float(np.mean(stored)) if stored else 0.0)
    return _spent(name, [r.sizes[name] for r in found.rows], pairs, per_pair) | {
        "fast": float(found.of(name, metric).mean()),
        "geomean_speedup": _geomean(found.of(name, "log_speedup")),
    }


def _spent(name: str, timed: list[int], pairs: list[float], per_pair: float | None) -> dict[str, Any]:
    mean = float(np.mean(pairs)) if pairs else 0.0
    known = math.isfinite(mean)
    return {
        "name": name,
        "timed": float(np.mean(timed)) if timed else 0.0,
        "pairs": mean if known else None,
        "device_seconds": mean * per_pair if known and per_pair is not None else None,
    }


def _geomean(logs: Floats) -> float | None:
    known = logs[np.isfinite(logs)]
    return math.exp(float(known.mean())) if len(known) else None


Finishes = list[list[tuple[int, int]]]
"""Per cell, per race: (position of the winner, pairs); no race in a cell without a correct candidate."""


def _simulated(found: Outcomes, each: Mapping[tuple[str, str], tuple[float, float]], seed: int) -> Finishes | None:
    """None where some correct candidate has no interval: what a pair of it looks like is not known."""
    rng = np.random.default_rng(seed)
    out: Finishes = []
    for r in found.rows:
        out.append([])
        if not r.keys:
            continue
        at = np.array([[each.get((r.cell.task_id, k), (math.nan, math.nan)) for k in r.keys]], dtype=np.float64)[0]
        low = _ci_low(r)
        speed = r.worth[METRICS.index("speedup")]
        if bool(np.isnan(at).any() or np.isnan(low).any() or np.isnan(speed).any()):
            return None
        for _ in range(RACES):
            drawn = modelled_pairs(speed, low, at[:, 1], at[:, 0], rng)
            finish = race(lambda at, count, drawn=drawn: drawn[at, :count], len(r.keys))
            out[-1].append((finish.winner, finish.pairs))
    return out


def _ci_low(r: CellOutcome) -> Floats:
    return np.array([r.cell.ci_low[i] for i, c in enumerate(r.cell.candidates) if c.correct], dtype=np.float64)


def _live(found: Outcomes, live: Raced) -> Finishes:
    out: Finishes = []
    for r in found.rows:
        finish = live.finishes.get((r.cell.task_id, r.cell.replicate))
        out.append([(r.keys.index(finish[0]), finish[1])] if finish and finish[0] in r.keys else [])
    return out


def _race_way(found: Outcomes, metric: str, finishes: Finishes, per_pair: float | None) -> dict[str, Any]:
    at, log_at = METRICS.index(metric), METRICS.index("log_speedup")
    fast = [
        float(np.mean([r.worth[at, w] for w, _ in f])) if f else 0.0 for r, f in zip(found.rows, finishes, strict=True)
    ]
    logs = [
        float(np.mean([r.worth[log_at, w] for w, _ in f])) if f else math.nan
        for r, f in zip(found.rows, finishes, strict=True)
    ]
    pairs = [float(np.mean([p for _, p in f])) if f else 0.0 for f in finishes]
    return _spent("race", [len(r.keys) for r in found.rows], pairs, per_pair) | {
        "fast": float(np.mean(fast)),
        "geomean_speedup": _geomean(np.array(logs)),
    }


# --- the break-even price ----------------------------------------------------------------------


def _break_evens(
    pools: Pools, metric: str, prices: Mapping[str, float | None], race_share: float | None
) -> list[dict[str, Any]]:
    flags = [_strict_flags(t, sig=metric.endswith("_sig")) for t in pools.tasks]
    if any(bool(np.isnan(f[t.correct]).any()) for f, t in zip(flags, pools.tasks, strict=True)):
        return []
    n = min(t.n for t in pools.tasks)
    ks = [int(k) for k in dense_grid(n)]
    every = np.mean([any_of_k(t.n, int(f.sum()), ks) for f, t in zip(flags, pools.tasks, strict=True)], axis=0)
    timings = np.mean([distinct_correct(t, ks) for t in pools.tasks], axis=0)
    rows: list[dict[str, Any]] = []
    for name, sign in SCORED.items():
        if any(bool(np.isnan(t.surprisal[t.correct]).any()) for t in pools.tasks):
            continue
        value = float(np.mean([_chosen(t, f, sign, TIMED[name], n) for f, t in zip(flags, pools.tasks, strict=True)]))
        timed = float(np.mean([distinct_chosen(t, sign, TIMED[name], n) for t in pools.tasks]))
        against = {ORACLE: 1.0} if race_share is None else {ORACLE: 1.0, "race": race_share}
        for rival, share in against.items():
            rows.append(_break_even(name, rival, ks, every, timings * share, value, timed, prices))
    return rows


def _strict_flags(t: TaskPool, *, sig: bool) -> Floats:
    """Fast at the level of the task's distinct candidates, for every way alike: a maximum must not gain by noise."""
    return fast_flags(t.correct, bounds_of(t) if sig else t.speedup)


def _order(t: TaskPool, sign: float) -> NDArray[np.intp]:
    """Positions among the task's correct samples, the strategy's first choice first."""
    score = sign * t.surprisal[t.correct]
    return np.lexsort((np.random.default_rng(0).permutation(len(score)), score))


def _chosen(t: TaskPool, flags: Floats, sign: float, m: int, n: int) -> float:
    return float(expected_top_m(flags[t.correct][_order(t, sign)], t.n, [n], m=m)[0])


def distinct_chosen(t: TaskPool, sign: float, m: int, n: int) -> float:
    """How many timings m choices among n of the task's samples take, the mean over subsets, which are drawn where there
    are more samples: one for samples that wrote one program, none where nothing is correct."""
    place = np.flatnonzero(t.correct)[_order(t, sign)]
    if t.n == n:
        return float(len(np.unique(t.program[place[:m]])))
    rng = np.random.default_rng(0)
    counts: list[int] = []
    for _ in range(SUBSETS):
        drawn = np.zeros(t.n, dtype=bool)
        drawn[rng.choice(t.n, size=n, replace=False)] = True
        counts.append(len(np.unique(t.program[place[drawn[place]][:m]])))
    return float(np.mean(counts))


def distinct_correct(t: TaskPool, ks: list[int]) -> Floats:
    """Expected number of distinct correct programs among K random samples: sum over programs of 1 - C(n-c,K)/C(n,K)."""
    counts = np.bincount(t.program[t.correct])
    counts = counts[counts > 0].astype(np.float64)
    k = np.asarray(ks, dtype=np.float64)[:, None]
    return (1 - np.exp(log_binomial(t.n - counts[None, :], k) - log_binomial(t.n, k))).sum(axis=1)


def _break_even(
    name: str,
    against: str,
    ks: list[int],
    every: Floats,
    timings: Floats,
    value: float,
    timed: float,
    prices: Mapping[str, float | None],
) -> dict[str, Any]:
    """n samples and `timed` timings against K samples and all timings of the same value: (n - K) / (t(K) - timed)."""
    k = equivalent_k(ks, every, min(value, float(every[-1])))
    row: dict[str, Any] = {"strategy": name, "against": against, "k_equal": k, "price": None, "device_seconds": None}
    row |= {"measured": prices["seconds_per_timing"], "pays": None, "reason": None}
    if not float(every[-1]) > 0:
        return row | {"reason": "no program is fast: there is nothing to choose", "k_equal": None}
    if not isinstance(k, float):
        return row | {"reason": "one sample, timed, is worth as much", "pays": False}
    saved = float(np.interp(k, ks, timings)) - timed
    if saved <= 0:
        return row | {"reason": "for the same value, timing everything times no more", "pays": False}
    row["price"] = (ks[-1] - k) / saved
    sample, timing = prices["seconds_per_sample"], prices["seconds_per_timing"]
    if sample is not None:
        row["device_seconds"] = row["price"] * sample
        row["pays"] = None if timing is None else timing > row["device_seconds"]
    return row
