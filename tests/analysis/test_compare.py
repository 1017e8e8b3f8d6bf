"""Arms at matched cost: curves against enumeration, costs against sums by hand, and what it says when it can't tell."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
from synthetic_samples import sample, study

from longodds.analysis.arms import ArmData, Learning, build_curves, seed_interval
from longodds.analysis.compare import compare_arms
from longodds.analysis.estimators import dense_grid
from longodds.analysis.frontier import _row, affordable, difference, equivalents, matched_values, value_at
from longodds.analysis.select import select_runs
from longodds.analysis.table import tabulate
from longodds.errors import UserError
from longodds.types import Status


def arm(name, rows, *, strategy="best_of_n", seconds=1.0, prompt=100.0, sampled=10.0, **more) -> ArmData:
    table = tabulate(rows)
    n = len(table)
    table.numbers.update(
        seconds=np.full(n, seconds),
        sampling_seconds=np.full(n, 0.5),
        prompt_tokens=np.full(n, prompt),
        sampled_tokens=np.full(n, sampled),
        duplicate=np.zeros(n),
    )
    return ArmData(name, strategy, table, parameters=1000, **more)


def run_of(rate, *, tasks=12, k=16, seeds=1, rng=0, step=lambda i: 0):
    """Every sample its own program, correct; fast with chance `rate` of its task."""
    random = np.random.default_rng(rng)
    return [
        dataclasses.replace(
            sample(
                f"t{t:02d}",
                s,
                i,
                mean_nll=1.0,
                n_tokens=4,
                speedup=1.5 if random.random() < rate else 0.8,
                sd=0.01,
            ),
            step=step(i),
        )
        for t in range(tasks)
        for s in range(seeds)
        for i in range(k)
    ]


def all_tasks(data):
    return frozenset(data.table.task_ids)


def test_an_exchangeable_arm_is_the_mean_over_all_subsets():
    data = arm("a", run_of(0.3, tasks=3, k=5))
    curves = build_curves(data, all_tasks(data))
    assert curves.exchangeable
    assert curves.grid.tolist() == [1, 2, 3, 4, 5]
    for t, pool in enumerate(curves.tasks):
        fast = pool.speedup > 1
        best = np.maximum(pool.speedup, 1.0)
        for j, k in enumerate(curves.grid):
            subsets = list(itertools.combinations(range(5), int(k)))
            assert curves.any_fast[t, j] == pytest.approx(np.mean([fast[list(s)].any() for s in subsets]), abs=1e-9)
            expected = np.mean([math.log(best[list(s)].max()) for s in subsets])
            assert curves.best[t, j] == pytest.approx(expected, abs=1e-9)


def test_the_expected_best_favours_no_kind_of_arm():
    """Geometric for both: the mean over all orders in which the samples could have come is the mean over subsets."""
    rows = run_of(0.3, tasks=1, k=5)
    bon = build_curves(arm("bon", rows), frozenset({"t00"}))
    orders = [
        build_curves(
            arm("ttt", [dataclasses.replace(r, index=i) for r, i in zip(rows, order, strict=True)], strategy="ttt"),
            frozenset({"t00"}),
        ).best[0]
        for order in itertools.permutations(range(5))
    ]
    assert bon.best[0, -1] > bon.best[0, 0]
    assert np.mean(orders, axis=0) == pytest.approx(bon.best[0], abs=1e-9)


def test_a_sequence_is_its_prefixes_with_an_interval_over_seeds():
    rows = run_of(0.2, tasks=4, k=8, seeds=3, step=lambda i: i // 4)
    data = arm("ttt", rows, strategy="ttt")
    curves = build_curves(data, all_tasks(data))
    assert not curves.exchangeable
    fast = {(r.task_id, r.seed, r.index): r.verdict.speedup > 1 for r in rows}
    for k in (1, 3, 8):
        first = np.array(
            [[any(fast[f"t{t:02d}", s, i] for i in range(k)) for t in range(4)] for s in range(3)], dtype=float
        )
        at = curves.grid.tolist().index(k)
        assert curves.any_fast[:, at] == pytest.approx(first.mean(axis=0))
        means = first.mean(axis=1)
        told = seed_interval(means)
        assert curves.interval(0, k) == (told and pytest.approx((max(told[0], 0.0), min(told[1], 1.0))))
    assert seed_interval(np.array([0.5])) is None
    assert seed_interval(np.array([0.5, 0.5])) is None


def test_costs_are_what_one_would_add_up():
    rows = run_of(0.5, tasks=2, k=4)
    bon = build_curves(arm("bon", rows), frozenset({"t00", "t01"}))
    assert bon.cost["charged"]["samples"].tolist() == [1, 2, 3, 4]
    assert bon.cost["charged"]["tokens"].tolist() == [110, 120, 130, 140]
    assert bon.cost["charged"]["flops"].tolist() == [2000 * x for x in (110, 120, 130, 140)]
    assert bon.cost["charged"]["device-seconds"].tolist() == [1.5, 3.0, 4.5, 6.0]
    assert np.isnan(bon.cost["charged"]["cost"]).all()
    steps = [dataclasses.replace(r, step=r.index // 2) for r in rows]
    learning = (Learning(1, trained_tokens=40, scored_tokens=20, seconds=6),)
    prices = {"price_prompt": 1e6, "price_sampled": 2e6, "price_device": 3600.0}
    ttt = build_curves(arm("ttt", steps, strategy="ttt", learning=learning, prices=prices), frozenset({"t00", "t01"}))
    assert ttt.cost["charged"]["tokens"].tolist() == [110, 120, 120 + 110 + 30, 120 + 120 + 30]
    assert ttt.cost["charged"]["device-seconds"].tolist() == [1.5, 3.0, 4.5 + 3, 6.0 + 3]
    assert ttt.cost["charged"]["flops"][2] == 2000 * 230 + 1000 * (6 * 40 + 2 * 20) / 2
    assert ttt.cost["charged"]["cost"][0] == pytest.approx(100 + 2 * 10 + 1.5)


def test_a_repeated_verdict_is_charged_and_not_run():
    data = arm("a", run_of(0.5, tasks=1, k=4))
    data.table.numbers["duplicate"] = np.array([0.0, 1.0, 1.0, 0.0])
    curves = build_curves(data, all_tasks(data))
    assert curves.cost["charged"]["device-seconds"][-1] == 6.0
    assert curves.cost["run"]["device-seconds"][-1] == 4.0


def test_costs_are_those_of_all_verdicts_calls_and_tasks():
    rows = run_of(0.5, tasks=2, k=4, step=lambda i: i // 2)
    data = arm("ttt", rows, strategy="ttt", learning=(Learning(1, 10.0, 5.0, 8.0),))
    table = data.table
    table.numbers.update(
        scored_tokens=np.full(8, 3.0),
        reread_tokens=np.full(8, 100.0),
        charged_seconds=np.full(8, 4.0),
        run_seconds=np.full(8, 2.0),
        call=np.tile([0.0, 1.0], 4),
    )
    both = build_curves(data, all_tasks(data)).cost
    one = build_curves(data, frozenset({"t00"})).cost
    assert one["charged"]["tokens"] == pytest.approx(both["charged"]["tokens"])  # learning served both
    assert both["charged"]["tokens"][-1] == 2 * 100 + 4 * 13 + 15 / 2
    assert both["charged"]["device-seconds"][-1] == 4 * 4.5 + 8 / 2
    assert both["run"]["tokens"][-1] == 4 * 100 + 4 * 113 + 15 / 2  # a call read the prompt, and scoring once more
    assert both["run"]["device-seconds"][-1] == 4 * 2.5 + 8 / 2


@pytest.mark.parametrize(("low", "share"), [(1.01, 1.0), (0.97, 0.0)])
def test_a_winner_that_was_measured_again_decides(low, share):
    """Its limit allows for the number of programs: it is not widened twice, and at K = n nothing else counts."""
    rows = []
    for r in run_of(1.0, k=8):
        if r.index == 0:
            again = dataclasses.replace(r.verdict, ci_low=low, labels=("remeasured",), family_low=((8, low),))
            r = dataclasses.replace(r, verdict=again)
        rows.append(r)
    data = arm("a", rows)
    curves = build_curves(data, all_tasks(data))
    assert curves.any_fast_sig[:, -1].tolist() == [share] * 12
    curve = select_runs(rows)["scaling"]
    assert curve[-1]["any_of_k_sig"] == share
    once = arm("ttt", run_of(1.0, k=8), strategy="ttt")
    warned = [
        any("measured once" in w for w in compare_arms(arms)["warnings"]) for arms in ([data, once], [data], [once])
    ]
    assert warned == [True, False, False]


def test_seeds_of_a_sequence_are_not_mixed_where_a_task_lacks_one():
    rows = [
        sample(f"t{t}", s, i, mean_nll=1.0, n_tokens=4, speedup=0.8 if s else 1.5)
        for t in range(3)
        for s in range(2)
        for i in range(4)
        if (t, s) != (1, 0)
    ]
    data = arm("ttt", rows, strategy="ttt")
    assert build_curves(data, all_tasks(data)).by_seed[0][:, -1].tolist() == [1.0, 0.0]


def test_what_interpolation_leaves_of_equal_numbers_is_no_difference():
    third = np.full(12, 1 / 3)
    assert not difference(third * 0.3 + third * 0.7, third).any()
    assert difference(third + 1e-3, third).all()


def test_what_a_budget_buys():
    curves = build_curves(arm("a", run_of(0.5, tasks=3, k=8)), frozenset({"t00", "t01", "t02"}))
    assert affordable(curves, "tokens", "charged", 109) is None
    assert affordable(curves, "tokens", "charged", 125) == pytest.approx(2.5)
    assert affordable(curves, "tokens", "charged", 1e9) == 8
    assert value_at(curves, "any_of_k", 2.5) == pytest.approx(curves.any_fast[:, 1:3].mean(axis=1))
    assert value_at(curves, "any_of_k", 8.0) == pytest.approx(curves.any_fast[:, -1])


def test_dense_grid_has_every_small_k_and_the_ends():
    grid = dense_grid(300).tolist()
    assert grid[:32] == list(range(1, 33))
    assert {64, 128, 256, 300} <= set(grid)
    assert len(grid) < 70
    assert dense_grid(1).tolist() == [1]


def test_equivalent_k_of_an_arm_of_the_same_kind_is_its_own_k():
    long, short = run_of(0.05, tasks=40, k=64, rng=1), run_of(0.05, tasks=40, k=16, rng=2)
    d = compare_arms([arm("long", long), arm("short", short)])
    assert d["baseline"] == "long"
    assert d["equivalent_k"]["long"]["any_of_k"] == 64
    k = d["equivalent_k"]["short"]["any_of_k"]
    low, high = d["equivalent_k"]["short"]["any_of_k_ci"]
    assert isinstance(k, float)
    assert low <= k <= high
    assert low < 16 < high
    slow = build_curves(arm("slow", run_of(0.0, tasks=40, k=4)), frozenset({f"t{t:02d}" for t in range(40)}))
    base = build_curves(arm("base", long), frozenset({f"t{t:02d}" for t in range(40)}))
    assert equivalents(slow, base)["any_of_k"] == "<1"
    fast = build_curves(arm("fast", run_of(1.0, tasks=40, k=4)), frozenset({f"t{t:02d}" for t in range(40)}))
    assert equivalents(fast, base)["any_of_k"] == ">n"


def test_a_better_arm_is_seen_and_equal_arms_are_not_told_apart():
    good, bad, same = run_of(0.3, tasks=24, rng=1), run_of(0.02, tasks=24, rng=2), run_of(0.3, tasks=24, rng=3)
    d = compare_arms([arm("good", good), arm("bad", bad)])
    json.dumps(d, allow_nan=False)
    at = next(r for r in d["frontier"] if r["budget"] == 4)
    assert (at["leading"], at["best"], at["tied"]) == ("good", "good", [])
    assert all(t["p_adjusted"] >= t["p"] for t in d["tests"])
    assert {t["test"] for t in d["tests"]} == {"paired permutation", "wilcoxon", "sign"}
    d = compare_arms([arm("good", good), arm("same", same), arm("bad", bad)])
    at = next(r for r in d["frontier"] if r["budget"] == 2)
    assert at["best"] is None
    assert at["tied"] == [{"good": "same", "same": "good"}[at["leading"]]]
    assert "can't tell" in d["sentence"]


def test_arms_of_one_policy_are_hardly_ever_told_apart():
    """A sequence that learned nothing against Best-of-N of the same policy: 60 studies, at most 3 say better."""
    said = 0
    for i in range(60):
        a = arm("bon", run_of(0.2, tasks=12, k=8, rng=2 * i))
        b = arm("ttt", run_of(0.2, tasks=12, k=8, rng=2 * i + 1, step=lambda j: j // 4), strategy="ttt")
        curves = [build_curves(x, all_tasks(x)) for x in (a, b)]
        values = [value_at(c, "any_of_k_sig", 4.0) for c in curves]
        from longodds.analysis.hypotheses import sign_flip_test

        said += sign_flip_test(values[0] - values[1])[1] < 0.02
    assert said <= 3


@pytest.mark.parametrize(("strategy", "budget"), [("ttt", 8.0), ("best_of_n", 7.0)])
def test_a_skewed_difference_makes_no_arm_the_best(strategy, budget):
    """Where nearly every task succeeds, what one of 8 samples reached less an expectation over 8 of 32 is skewed:
    flipping its signs called one of two equal arms the best in 16 (ttt) and 7 (best_of_n) of these 40 studies."""
    said = 0
    for i in range(40):
        a = arm("long", run_of(0.3, tasks=12, k=32, rng=2 * i))
        b = arm("short", run_of(0.3, tasks=12, k=8, rng=2 * i + 1), strategy=strategy)
        curves = [build_curves(x, all_tasks(x)) for x in (a, b)]
        said += _row(curves, "samples", "charged", "any_of_k", budget)["best"] is not None
    assert said <= 2


def test_a_test_looks_at_as_many_samples_of_both():
    """Seeds of a sequence beside runs of Best-of-N in the order of drawing; the estimate is of all samples."""
    ttt = arm("ttt", run_of(0.2, tasks=12, k=4, seeds=2, rng=1, step=lambda i: i // 2), strategy="ttt")
    bon = arm("bon", run_of(0.2, tasks=12, k=20, rng=2))
    a, b = (build_curves(x, all_tasks(x)) for x in (ttt, bon))
    mine, theirs = matched_values(a, b, "any_of_k", 4.0, 4.0)
    assert mine == pytest.approx(a.any_fast[:, -1])
    flags = np.array([t.speedup > 1 for t in b.tasks])
    assert theirs.tolist() == ((flags[:, :4].any(axis=1) + 1.0 * flags[:, 4:8].any(axis=1)) / 2).tolist()
    half = matched_values(a, b, "any_of_k", 3.5, 3.5)[1]
    by_run = [(flags[:, s : s + 3].any(axis=1) + 1.0 * flags[:, s : s + 4].any(axis=1)) / 2 for s in (0, 4)]
    assert half == pytest.approx(np.mean(by_run, axis=0))
    row = next(t for t in compare_arms([ttt, bon])["tests"] if t["metric"] == "any_of_k_sig")
    assert row["statistic"] == pytest.approx(float((a.any_fast_sig[:, -1] - b.any_fast_sig[:, 3]).mean()))
    assert matched_values(b, b, "expected_best_speedup", 3.0, 3.0)[0] == pytest.approx(b.best[:, 2])


def test_equal_values_have_no_interval_of_width_zero():
    """Ten tasks that show no difference: up to 0.31 of all tasks might (Clopper-Pearson for none of ten)."""
    d = compare_arms([arm("a", run_of(1.0, tasks=10)), arm("b", run_of(1.0, tasks=10, rng=1))])
    share, ratio = (
        next(t for t in d["tests"] if t["metric"] == m and t["test"] == "paired permutation")
        for m in ("any_of_k_sig", "expected_best_speedup")
    )
    assert share["ci"] == pytest.approx([-(1 - 0.025**0.1), 1 - 0.025**0.1])
    assert ratio["ci"] is None


def test_more_expensive_samples_lose_at_equal_cost():
    rows = run_of(0.1, tasks=24, k=32, rng=1)
    cheap, dear = arm("cheap", rows, sampled=10, prompt=0), arm("dear", rows, sampled=160, prompt=0)
    d = compare_arms([cheap, dear], axis="tokens")
    at = [r for r in d["frontier"] if all(a["value"] is not None for a in r["arms"])]
    assert all(r["leading"] == "cheap" for r in at[:-1])
    assert d["frontier"][0]["arms"][1] == {
        "run": "dear",
        "k": None,
        "value": None,
        "ci": None,
        "expected_best_speedup": None,
        "exhausted": False,
    }
    assert compare_arms([cheap, dear], axis="samples")["frontier"][-1]["tied"] == ["dear"]


def test_only_common_tasks_count_and_mistakes_are_one_line():
    a, b = arm("a", run_of(0.3, tasks=12)), arm("b", run_of(0.3, tasks=10, rng=4))
    d = compare_arms([a, b])
    assert d["n_tasks"] == 10
    assert any("2 tasks" in w for w in d["warnings"])
    other = [dataclasses.replace(r, task_id="x" + r.task_id) for r in run_of(0.3, tasks=2)]
    with pytest.raises(UserError, match="no task"):
        compare_arms([a, arm("c", other)])
    moved = [
        dataclasses.replace(r, verdict=dataclasses.replace(r.verdict, evaluator="dev1")) for r in run_of(0.3, tasks=12)
    ]
    with pytest.raises(UserError, match=r"different evaluator settings .*; judge a or d again \(best-of-n --re-eval"):
        compare_arms([a, arm("d", moved)])
    with pytest.raises(UserError, match="judge a again"):  # the others have no --re-evaluate
        compare_arms([a, arm("d", moved, strategy="ttt")])
    with pytest.raises(UserError, match=r"can't be compared; leave one out$"):
        compare_arms([arm("a", run_of(0.3, tasks=12), strategy="refine"), arm("d", moved, strategy="ttt")])
    with pytest.raises(UserError, match="without prices"):
        compare_arms([a, b], axis="cost")
    with pytest.raises(UserError, match="expected one of"):
        compare_arms([a, b], axis="time")
    with pytest.raises(UserError, match="at least one RUN"):
        compare_arms([])


def test_the_document_has_what_the_contract_names():
    d = compare_arms([arm("a", study("informative", tasks=11, k=8)), arm("b", study("anti", tasks=11, k=8, rng=1))])
    assert {"arms", "equivalent_k", "tests"} <= set(d)
    for a in d["arms"]:
        assert {"run", "strategy", "cost", "curve", "per_sample"} <= set(a)
        assert a["curve"][0]["any_of_k"] == pytest.approx(a["per_sample"])
        assert all({"k", "any_of_k", "ci", "expected_best_speedup"} <= set(r) for r in a["curve"])
    untimed = [
        dataclasses.replace(r, verdict=dataclasses.replace(r.verdict, speedup=None, ci_low=None, ci_high=None))
        for r in study("informative", tasks=11, k=8)
        if r.verdict.status is Status.CORRECT
    ]
    d = compare_arms([arm("a", untimed)])
    assert d["arms"][0]["curve"][0]["any_of_k"] is None
    assert d["arms"][0]["per_sample"] is None
    assert any("not timed" in w for w in d["warnings"])


def test_learning_without_a_price_has_no_cost_in_money():
    """Tokens that were trained on have no price: on a service that is paid by tokens a run would learn for nothing."""
    by_token = {"price_prompt": 1.0, "price_sampled": 2.0, "price_device": 0.0}
    steps = run_of(0.3, rng=1, step=lambda i: i // 8)
    bon = arm("bon", run_of(0.3), prices=by_token)
    ttt = arm("ttt", steps, strategy="ttt", prices=by_token, learning=(Learning(1, trained_tokens=50.0, seconds=6.0),))
    assert compare_arms([bon, ttt], axis="tokens")["arms"][1]["curve"][-1]["cost"]["cost"] is None
    with pytest.raises(
        UserError, match=r"ttt: its cost in cost is not known: its learning has no price but --price-de"
    ):
        compare_arms([bon, ttt], axis="cost")
    by_hour = dataclasses.replace(ttt, prices={**by_token, "price_device": 3600.0})
    assert compare_arms([bon, by_hour], axis="cost")["frontier"]
    nothing = dataclasses.replace(ttt, learning=(Learning(1, seconds=6.0),))
    assert compare_arms([bon, nothing], axis="cost")["frontier"]


@pytest.mark.parametrize("seconds", [0.0, math.nan])
def test_a_cost_that_nobody_metered_is_not_known(seconds):
    unmetered = arm("import", run_of(0.3, rng=1), seconds=seconds)
    unmetered.table.numbers["sampling_seconds"] = np.full(len(unmetered.table), seconds)
    metered = arm("bon", run_of(0.2, rng=0))
    assert compare_arms([metered, unmetered], axis="samples")["frontier"]
    with pytest.raises(UserError, match=r"import: its cost in device-seconds is not known: .*choose another --axis"):
        compare_arms([metered, unmetered], axis="device-seconds")
