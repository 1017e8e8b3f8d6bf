"""Runs, seeds, copies and programs without a timing are held to the same standard as all others."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from synthetic_samples import sample, study
from test_compare import arm, run_of

from longodds.analysis import select_runs
from longodds.analysis.compare import compare_arms
from longodds.analysis.outcomes import outcomes
from longodds.analysis.pool import build_pools
from longodds.analysis.price import distinct_chosen, price_document
from longodds.analysis.resampling import Bootstrap, mean_interval
from longodds.analysis.select import headline
from longodds.analysis.table import tabulate
from longodds.report.browser import programs_of
from longodds.report.view import RunView
from longodds.strategies.cells import cell_metrics
from longodds.types import UNTIMED_LABEL, Status, Verdict


def thin(k):
    """Programs of 5 % that hold up at the level of a few candidates and not at that of many."""
    return [
        sample(f"t{t:02d}", 0, i, mean_nll=1.0, n_tokens=4, speedup=1.05, sd=0.015) for t in range(10) for i in range(k)
    ]


def test_arms_of_unlike_size_are_held_to_one_level():
    few, many = arm("few", thin(2)), arm("many", thin(64))
    alone = compare_arms([few])["arms"][0]["curve"][0]["any_of_k_sig"]
    assert alone == 1.0
    both = compare_arms([few, many])
    assert [a["curve"][0]["any_of_k_sig"] for a in both["arms"]] == [0.0, 0.0]
    assert all(row["best"] is None for row in both["frontier"])
    sequence = [dataclasses.replace(r, strategy="refine") for r in thin(2)]
    both = compare_arms([arm("refine", sequence, strategy="refine"), many])
    assert both["arms"][0]["curve"][0]["any_of_k_sig"] == 0.0


@pytest.mark.parametrize("unit", ["program", "sample"])
def test_copies_that_were_measured_apart_do_not_find_what_is_not_there(unit):
    """Whether a sample is fast is a coin; the score goes with the program. 2 % is what the rule promises."""
    found = 0
    for study_number in range(60):
        rng = np.random.default_rng(study_number)
        rows = []
        for t in range(12):
            scores = rng.normal(size=3)
            for i in range(12):
                p = int(rng.integers(3))
                speed = 1.5 if rng.random() < 0.5 else 0.7
                rows.append(
                    sample(f"t{t:02d}", 0, i, mean_nll=3 + scores[p], n_tokens=8, speedup=speed, program=f"p{t}-{p}")
                )
        found += headline(rows, unit=unit, seed=0)["p"] < 0.02
    assert found <= 5  # 60 studies at 2 %: more than 5 in 1 of 300


def test_where_nothing_failed_an_interval_still_allows_for_tasks_that_were_not_met():
    near = np.full(20, 0.9995)
    near[3] = 0.98
    low, high = Bootstrap(range(20)).interval(near, share=True)
    assert low == pytest.approx(0.025 ** (1 / 20), abs=0.01)
    assert high <= 1
    low, high = Bootstrap(range(20)).interval(1 - near, share=True)
    assert high == pytest.approx(1 - 0.025 ** (1 / 20), abs=0.01)
    assert low >= 0
    assert Bootstrap(range(20)).interval(np.ones(20), share=True) == pytest.approx((0.025 ** (1 / 20), 1.0))
    covered = []
    for number in range(200):  # a twentieth of all tasks is hopeless, the others nearly sure
        rng = np.random.default_rng(number)
        v = np.where(rng.random(20) < 0.05, 0.0, 0.998)
        low, high = Bootstrap(range(20), draws=2000).interval(v, share=True)
        covered.append(low <= 0.95 * 0.998 <= high)
    assert np.mean(covered) > 0.93


def test_the_interval_of_a_geometric_mean_is_of_that_mean():
    """Tasks that more seeds were run on count once."""
    rows = []
    for t in range(40):
        for s in range(4 if t < 20 else 1):
            speed = 2.0 if t < 20 else 1.0
            rows += [sample(f"t{t:02d}", s, i, mean_nll=1.0 + i, n_tokens=4, speedup=speed) for i in range(4)]
    row = next(r for r in select_runs(rows)["strategies"] if r["name"] == "random")
    assert row["geomean_speedup"] == pytest.approx(math.sqrt(2), abs=0.01)
    right = mean_interval(np.log([2.0] * 20 + [1.0] * 20), range(40))
    assert row["geomean_speedup_ci"] == pytest.approx([math.exp(x) for x in right], abs=0.02)


def test_races_are_not_simulated_from_intervals_of_unknown_pairs():
    rows = study("informative", tasks=6, k=8)
    foreign = [
        dataclasses.replace(r, verdict=dataclasses.replace(r.verdict, pairs=0)) if r.verdict.correct else r
        for r in rows
    ]
    for samples, source in ((rows, "model"), (foreign, "none")):
        table = tabulate(samples)
        pools = build_pools(table)
        document = price_document(table, pools, outcomes(pools), "fast_1_sig")
        assert document["source"] == source
        oracle = next(w for w in document["ways"] if w["name"] == "oracle")
        assert (oracle["pairs"] is None) is (source == "none")


def too_slow(row):
    verdict = Verdict(row.task_id, Status.CORRECT, labels=(UNTIMED_LABEL,), evaluator="dev0")
    return dataclasses.replace(row, verdict=verdict)


def test_a_program_too_slow_to_be_timed_is_not_faster_and_the_rest_can_be_told():
    rows = study("informative", tasks=40, k=16, effect=4.0)
    at = next(i for i, r in enumerate(rows) if r.verdict.correct)
    slow = [too_slow(r) if r.program_digest == rows[at].program_digest else r for r in rows]
    before, after = select_runs(rows), select_runs(slow)
    assert after["verdict"]["answer"] == before["verdict"]["answer"] != "cannot tell"
    assert after["scaling"][-1]["any_of_k_sig"] is not None
    assert all(row["fast_p"] is not None for row in after["fast_p"])
    fast, slower = (next(r for r in d["strategies"] if r["name"] == "random") for d in (before, after))
    assert slower["fast_1_sig"] == pytest.approx(fast["fast_1_sig"], abs=0.03)
    assert all(t["best_speedup"] is None or t["best_speedup"] > 0 for t in after["per_task"])


def test_choices_are_shown_within_each_run():
    rows = [sample("t", 0, i, mean_nll=1.0 + i, n_tokens=4, speedup=1.5, program=f"a{i}") for i in range(3)]
    other = [sample("t", 0, i, mean_nll=5.0 + i, n_tokens=4, speedup=1.5, program=f"b{i}") for i in range(3)]
    names = ["a:0"] * 3 + ["b:0"] * 3
    shown = programs_of([*rows, *other], seed=0, replicates=names)
    by = {r["d"]: r["by"] for r in shown}
    assert ["surprisal" in by[r.program_digest[:16]] for r in (*rows, *other)] == [False, False, True] * 2


def test_timings_of_few_choices_from_larger_pools_are_means_over_subsets():
    programs = ["a", "a", "b", "b", "c"]
    rows = [sample("t", 0, i, mean_nll=1.0 + i, n_tokens=4, speedup=1.5, program=p) for i, p in enumerate(programs)]
    pool = build_pools(rows).tasks[0]
    for m in (1, 2, 3):
        brute = np.mean([len({programs[i] for i in subset[:m]}) for subset in itertools.combinations(range(5), 3)])
        assert distinct_chosen(pool, 1.0, m, 3) == pytest.approx(brute, abs=0.12)


def test_runs_of_arms_as_they_are_still_tie():
    equal = [arm(name, run_of(0.3, tasks=12, k=16, rng=r)) for r, name in enumerate("ab")]
    assert all(row["best"] is None for row in compare_arms(equal)["frontier"])


def test_what_was_not_timed_is_not_counted_as_slow():
    rows = [sample("t", 0, i, mean_nll=1.0, n_tokens=4, speedup=1.5 if i else None) for i in range(4)]
    for samples, known in ((rows, None), (rows[1:], 1.0), ([too_slow(rows[0]), *rows[1:]], 0.75)):
        shown = RunView("r", samples, {}).tasks()[0]
        assert (shown["fast_1"], shown["fast_1_sig"]) == (known, known)
        counted = cell_metrics("best_of_n", samples)
        assert counted["fast_1"] == counted["fast_1_sig"] == (None if known is None else 3)
