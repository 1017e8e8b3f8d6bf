"""Races find the fastest for few pairs; the break-even price is where two budgets meet."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from synthetic_samples import sample, study

from longodds.analysis.outcomes import outcomes
from longodds.analysis.pool import build_pools
from longodds.analysis.price import Raced, distinct_chosen, distinct_correct, price_document
from longodds.analysis.race import LOOKS, modelled_pairs, race
from longodds.analysis.table import tabulate
from longodds.types import Status


def run_race(truth, sd, rng):
    drawn = np.asarray(truth)[:, None] + sd * rng.standard_normal((len(truth), LOOKS[-1]))
    return race(lambda i, n: drawn[i, :n], len(truth))


def test_the_fastest_wins_for_a_fraction_of_the_pairs():
    """64 candidates with half a percent of noise: within 1 % of the best, several times fewer pairs than 64 each."""
    rng = np.random.default_rng(0)
    near, spent = 0, []
    for _ in range(100):
        truth = np.log(rng.uniform(0.5, 1.6, 64))
        finish = run_race(truth, 0.005, rng)
        near += truth.max() - truth[finish.winner] <= math.log(1.01)
        spent.append(finish.pairs)
    assert near >= 97
    assert np.mean(spent) < 64 * LOOKS[-1] / 6


def test_the_true_fastest_is_hardly_ever_dropped_under_much_noise():
    rng = np.random.default_rng(1)
    lost = 0
    for _ in range(200):
        truth = np.array([0.3, *rng.uniform(-0.5, 0.1, 15)])
        lost += run_race(truth, 0.3, rng).winner != 0 and truth[0] - 0.2 > max(truth[1:])
    assert lost <= 10


def test_equals_end_early_and_one_runs_alone():
    rng = np.random.default_rng(2)
    assert run_race(np.zeros(4), 1e-4, rng).pairs == 4 * 8
    assert run_race(np.zeros(4), 0.5, rng).pairs == 4 * 64
    assert ((alone := race(lambda at, n: np.zeros((len(at), n)), 1)).pairs, alone.winner) == (0, 0)
    with pytest.raises(ValueError, match="needs a candidate"):
        race(lambda at, n: np.zeros((len(at), n)), 0)


def test_modelled_pairs_have_the_stored_median_and_interval():
    rng = np.random.default_rng(3)
    sd, n = 0.02, 32
    half = 2.5758 * math.sqrt(math.pi / 2) * sd / math.sqrt(n)
    one = np.ones(2000)
    drawn = modelled_pairs(1.2 * one, 1.2 * math.exp(-half) * one, 1.2 * math.exp(half) * one, n * one, rng)
    assert drawn.mean() == pytest.approx(math.log(1.2), abs=1e-3)
    assert drawn.std() == pytest.approx(sd, rel=0.02)


def test_distinct_correct_programs_against_enumeration():
    rows = [
        sample("t", 0, i, mean_nll=1.0, n_tokens=4, speedup=1.2, program=p)
        for i, p in enumerate(["a", "a", "b", "c", "c"])
    ]
    pool = build_pools(rows).tasks[0]
    for k in range(1, 6):
        brute = np.mean([len({"aabcc"[i] for i in s}) for s in itertools.combinations(range(5), k)])
        assert distinct_correct(pool, [k])[0] == pytest.approx(brute, abs=1e-9)


def price_of(rows, **numbers):
    table = tabulate(rows)
    for name, value in numbers.items():
        table.numbers[name] = np.full(len(table), value)
    pools = build_pools(table)
    return price_document(table, pools, outcomes(pools), "fast_1_sig" if pools.has_intervals else "fast_1")


def test_the_document_of_a_study():
    d = price_of(study("informative", tasks=12, k=32), sampling_seconds=2.0)
    json.dumps(d, allow_nan=False)
    ways = {w["name"]: w for w in d["ways"]}
    assert d["source"] == "model"
    assert ways["surprisal"]["timed"] == 1.0
    assert ways["oracle"]["timed"] > ways["surprisal-top3"]["timed"] == 3.0
    assert ways["race"]["fast"] == pytest.approx(ways["oracle"]["fast"], abs=0.05)
    assert ways["race"]["pairs"] > ways["surprisal"]["pairs"]
    assert ways["race"]["geomean_speedup"] > ways["random"]["geomean_speedup"]
    rows = {(b["strategy"], b["against"]): b for b in d["break_even"]}
    assert rows["surprisal", "oracle"]["price"] > 0
    assert rows["surprisal", "oracle"]["device_seconds"] == pytest.approx(2.0 * rows["surprisal", "oracle"]["price"])


def test_break_even_by_hand():
    """One task of four samples, each a program, one fast: the most surprising. Choosing it is worth timing all four."""
    rows = [sample("t", 0, i, mean_nll=1.0 + i, n_tokens=4, speedup=1.5 if i == 3 else 0.8) for i in range(4)]
    d = price_of(rows)
    found = {(b["strategy"], b["against"]): b for b in d["break_even"]}
    best = found["surprisal", "oracle"]
    assert (best["k_equal"], best["price"]) == (4.0, 0.0)
    worst = found["most-confident", "oracle"]  # never the fast one: a single timed sample is worth more
    assert (worst["k_equal"], worst["price"], worst["pays"]) == ("<1", None, False)
    # three samples by chance include it with 3/4; two with 1/2: confident-top3 leaves it out for sure
    assert found["confident-top3", "oracle"]["k_equal"] == "<1"
    half = [
        sample(t, 0, i, mean_nll=1.0 + i, n_tokens=4, speedup=s)
        for t, at in (("a", 3), ("b", 0))
        for i, s in enumerate([1.5 if i == at else 0.8 for i in range(4)])
    ]
    row = {(b["strategy"], b["against"]): b for b in price_of(half)["break_even"]}["surprisal", "oracle"]
    assert row["k_equal"] == pytest.approx(2.0)  # right in one task of two; two timed samples of four are as good
    assert row["price"] == pytest.approx((4 - 2) / (2 - 1))


def test_only_timings_that_happen_are_charged():
    right = [
        sample(t, 0, i, mean_nll=1.0 + i, n_tokens=4, speedup=s)
        for t, at in (("a", 3), ("b", 0))
        for i, s in enumerate([1.5 if i == at else 0.8 for i in range(4)])
    ]
    wrong = [sample(t, 0, i, mean_nll=1.0, n_tokens=4, status=Status.INCORRECT) for t in "cd" for i in range(4)]
    row = {(b["strategy"], b["against"]): b for b in price_of(right + wrong)["break_even"]}["surprisal", "oracle"]
    assert row["k_equal"] == pytest.approx(2.0)
    assert row["price"] == pytest.approx((4 - 2) / (1 - 0.5))  # two timed programs, or one, in half of the tasks
    copies = [
        sample("t", 0, i, mean_nll=1.0 + i, n_tokens=4, speedup=1.5 if p == "fast" else 0.8, program=p)
        for i, p in enumerate(["slow", "other", "fast", "fast"])
    ]
    pool = build_pools(copies).tasks[0]
    assert [distinct_chosen(pool, sign, m, 4) for sign in (-1.0, 1.0) for m in (1, 2, 3)] == [1, 1, 2, 1, 2, 3]


def test_without_intervals_there_is_no_race_and_live_ones_are_told_apart():
    d = price_of(study("informative", tasks=3, k=8, intervals=False))
    assert d["source"] == "none"
    assert "race" not in {w["name"] for w in d["ways"]}
    rows = study("informative", tasks=2, k=8)
    table = tabulate(rows)
    pools = build_pools(table)
    found = outcomes(pools)
    finishes = {(r.cell.task_id, r.cell.replicate): (r.keys[0], 40) for r in found.rows if r.keys}
    d = price_document(table, pools, found, "fast_1_sig", live=Raced(finishes, seconds=8.0, pairs_run=80))
    way = next(w for w in d["ways"] if w["name"] == "race")
    assert (d["source"], way["pairs"]) == ("live", 40.0)
    assert d["seconds_per_pair"] == pytest.approx(8.0 / 80)
    assert way["device_seconds"] == pytest.approx(4.0)
