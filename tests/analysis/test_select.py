"""The `select` document: its figures against a slow and obvious calculation, and what it says when it can't know."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
from allowed_time import allowed_seconds
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_samples import sample, study

from longodds.analysis import headline, select_runs
from longodds.analysis.likelihood import monotone, partial_spearman, spearman
from longodds.analysis.outcomes import NAMES
from longodds.analysis.scaling import bound_at_level
from longodds.errors import UserError
from longodds.selection import NEEDS_TOP_LOGPROBS
from longodds.types import Status

CONTRACT = {
    "name",
    "n",
    "fast_1",
    "fast_1_sig",
    "ci",
    "sd_over_seeds",
    "mean_speedup",
    "geomean_speedup",
    "timed_evaluations",
}


def strategy(document, name):
    return next(s for s in document["strategies"] if s["name"] == name)


def test_the_document_has_what_the_contract_names():
    d = select_runs(study("informative", tasks=11, k=12, seeds=2))
    json.dumps(d, allow_nan=False)
    assert {
        "runs",
        "unit",
        "n_tasks",
        "n_cells",
        "n_samples",
        "k",
        "verdict",
        "strategies",
        "tests",
        "per_task",
    } <= set(d)
    assert (d["n_tasks"], d["n_cells"], d["n_samples"], d["k"], d["unit"]) == (11, 22, 264, 12, "program")
    assert [s["name"] for s in d["strategies"]] == [n for n in NAMES if n not in NEEDS_TOP_LOGPROBS]
    assert all(set(s) >= CONTRACT for s in d["strategies"])
    assert {
        "question",
        "answer",
        "metric",
        "against",
        "estimate",
        "ci",
        "p",
        "margin",
        "minimum_detectable",
        "beyond_length",
    } <= set(d["verdict"])
    assert (d["verdict"]["metric"], d["verdict"]["against"], d["verdict"]["margin"]) == ("fast_1_sig", "random", 0.1)
    assert all({"a", "b", "metric", "test", "statistic", "p", "p_adjusted", "effect"} <= set(t) for t in d["tests"])
    assert all(t["p_adjusted"] >= t["p"] for t in d["tests"])
    assert len(d["per_task"]) == 11


def test_the_headline_alone_is_the_verdict_of_the_document():
    rows = study("informative", tasks=11, k=12, seeds=2)
    assert headline(rows, unit="sample", seed=2) == select_runs(rows, unit="sample", seed=2)["verdict"]


def test_the_same_input_gives_the_same_document_in_any_order():
    rows = study("informative", tasks=4, k=10, seeds=2)
    assert select_runs(rows, seed=3) == select_runs(rows, seed=3)
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    a, b = select_runs(rows, seed=3), select_runs(shuffled, seed=3)
    for name in (s["name"] for s in a["strategies"]):
        if "random" not in name:
            assert strategy(a, name) == strategy(b, name)


cell_rows = st.lists(
    st.tuples(st.booleans(), st.floats(0.5, 2.0), st.floats(0.05, 3.0), st.integers(1, 9)), min_size=1, max_size=7
)


@settings(max_examples=60, deadline=None)
@given(st.lists(cell_rows, min_size=1, max_size=4))
def test_the_table_against_a_slow_and_obvious_calculation(cells):
    rows = [
        sample(
            f"t{t}",
            0,
            i,
            mean_nll=nll + i * 1e-6,
            n_tokens=tokens,
            speedup=speed,
            status=Status.CORRECT if right else Status.INCORRECT,
            sd=0.02,
        )
        for t, cell in enumerate(cells)
        for i, (right, speed, nll, tokens) in enumerate(cell)
    ]
    d = select_runs(rows, unit="sample")
    expected: dict[str, list[float]] = {
        name: [] for name in ("oracle", "surprisal", "confident-top3", "random", "random-top3")
    }
    speeds: list[float] = []
    for t in range(len(cells)):
        mine = [r for r in rows if r.task_id == f"t{t}" and r.verdict and r.verdict.correct]
        fast = [float(r.verdict.ci_low > 1) for r in mine]  # pyright: ignore[reportOptionalMemberAccess,reportOptionalOperand]
        nll = [-r.completion.logprobs[1] for r in mine]
        if not mine:
            for values in expected.values():
                values.append(0.0)
            continue
        order = sorted(range(len(mine)), key=lambda i: nll[i])
        expected["oracle"].append(max(fast))
        expected["surprisal"].append(fast[order[-1]])
        expected["confident-top3"].append(max(fast[i] for i in order[:3]))
        expected["random"].append(float(np.mean(fast)))
        triples = list(itertools.combinations(fast, min(3, len(fast))))
        expected["random-top3"].append(float(np.mean([max(x) for x in triples])))
        speeds.append(mine[order[-1]].verdict.speedup)  # pyright: ignore[reportOptionalMemberAccess]
    for name, values in expected.items():
        assert strategy(d, name)["fast_1_sig"] == pytest.approx(np.mean(values), abs=1e-9), name
    if speeds:
        assert strategy(d, "surprisal")["mean_speedup"] == pytest.approx(np.mean(speeds))
        assert strategy(d, "surprisal")["geomean_speedup"] == pytest.approx(np.exp(np.mean(np.log(speeds))))
    assert strategy(d, "surprisal")["timed_evaluations"] == len(speeds)


def test_the_oracle_is_never_beaten_and_three_timings_never_hurt():
    d = select_runs(study("uninformative", tasks=12, k=20, seeds=2))
    for metric in ("fast_1", "fast_1_sig", "fast_1.05", "fast_1.05_sig", "geomean_speedup"):
        best = strategy(d, "oracle")[metric]
        assert all(s[metric] <= best + 1e-12 for s in d["strategies"])
        assert strategy(d, "surprisal-top3")[metric] >= strategy(d, "surprisal")[metric]
        assert strategy(d, "random-top3")[metric] >= strategy(d, "random")[metric]


def test_a_cell_without_a_correct_sample_counts_zero_for_everyone():
    rows = [sample("a", 0, i, mean_nll=1 + i, n_tokens=4, speedup=2.0) for i in range(4)]
    rows += [sample("b", 0, i, mean_nll=1 + i, n_tokens=4, status=Status.TIMEOUT) for i in range(4)]
    d = select_runs(rows)
    for s in d["strategies"]:
        assert s["fast_1"] == 0.5
        assert (s["n"], s["n_with_choice"]) == (2, 1)
        assert s["geomean_speedup"] == pytest.approx(2.0)


def test_units_choose_among_programs_or_among_samples():
    rows = [sample("a", 0, i, mean_nll=1.0, n_tokens=4, speedup=0.8, program="slow") for i in range(9)]
    rows.append(sample("a", 0, 9, mean_nll=2.0, n_tokens=4, speedup=1.5, program="fast"))
    assert strategy(select_runs(rows, unit="program"), "random")["fast_1"] == pytest.approx(0.5)
    assert strategy(select_runs(rows, unit="sample"), "random")["fast_1"] == pytest.approx(0.1)


def test_several_runs_have_their_own_seeds():
    rows = study("informative", tasks=3, k=8)
    d = select_runs({"runs/a": rows, "runs/b": rows})
    assert (d["runs"], d["n_cells"], d["n_tasks"]) == (["runs/a", "runs/b"], 6, 3)
    assert select_runs({"runs/a": rows})["n_cells"] == 3


def test_without_intervals_the_sig_figures_are_null_and_the_verdict_says_so():
    d = select_runs(study("informative", tasks=12, k=16, intervals=False))
    assert d["verdict"]["metric"] == "fast_1"
    assert all(s["fast_1_sig"] is None and s["fast_1"] is not None and s["ci"] is not None for s in d["strategies"])
    assert all(r["any_of_k_sig"] is None and r["any_of_k"] is not None for r in d["scaling"])
    assert any("no interval" in w for w in d["warnings"])


def test_what_was_not_timed_has_no_figure():
    rows = [sample("a", 0, i, mean_nll=1 + i, n_tokens=4, speedup=2.0 if i == 3 else None) for i in range(4)]
    d = select_runs(rows)
    assert strategy(d, "surprisal")["fast_1"] == 1.0
    assert strategy(d, "random")["fast_1"] is None
    assert strategy(d, "random")["untimed_cells"] == 1
    assert d["verdict"]["answer"] == "cannot tell"
    assert "not timed" in d["verdict"]["sentence"]
    assert d["scaling"][0]["any_of_k"] is None


def test_without_log_probabilities_likelihood_has_no_figure():
    rows = [
        dataclasses.replace(r, completion=dataclasses.replace(r.completion, logprobs=()))
        for r in study("informative", tasks=12, k=8)
    ]
    d = select_runs(rows)
    assert strategy(d, "surprisal")["fast_1"] is None
    assert strategy(d, "shortest")["fast_1"] is not None
    assert d["verdict"]["answer"] == "cannot tell"
    assert d["selection_scaling"] == []
    assert any("log-probabilities" in w for w in d["warnings"])


def test_a_rival_chooses_among_the_scored_candidates_too():
    """Scored candidates are fast three times as often as unscored ones, and surprisal says nothing."""
    rng = np.random.default_rng(0)
    answers = []
    for _ in range(12):
        rows = []
        for t, i in itertools.product(range(14), range(16)):
            scored = i % 2 == 0
            speed = 1.5 if rng.random() < (0.6 if scored else 0.2) else 0.8
            row = sample(f"t{t}", 0, i, mean_nll=float(rng.uniform(1, 3)), n_tokens=5, speedup=speed)
            blank = dataclasses.replace(row.completion, logprobs=(), sampling_logprobs=None)
            rows.append(row if scored else dataclasses.replace(row, completion=blank))
        answers.append(headline(rows)["answer"])
    assert answers.count("better") <= 1
    d = select_runs(rows)
    assert d["verdict"] == headline(rows)
    among = [r for r in rows if r.completion.logprobs]
    assert d["verdict"]["share_against"] == pytest.approx(np.mean([r.verdict.speedup > 1 for r in among]))
    assert strategy(d, "random")["fast_1"] == pytest.approx(np.mean([r.verdict.speedup > 1 for r in rows]))
    shortest = next(a for a in d["answers"] if (a["strategy"], a["against"]) == ("shortest", "random"))
    assert shortest["share_against"] == strategy(d, "random")["fast_1_sig"]
    (said,) = [w for w in d["warnings"] if "log-probabilities" in w]
    assert "112 correct candidates" in said


def test_timings_of_two_devices_are_not_compared_inside_a_cell():
    rows = [sample("a", 0, i, mean_nll=1 + i, n_tokens=4, speedup=2.0, evaluator=f"dev{i % 2}") for i in range(4)]
    with pytest.raises(UserError, match=r"task a, seed 0.*dev0, dev1"):
        select_runs(rows)
    apart = [dataclasses.replace(r, seed=r.index % 2) for r in rows]
    assert any("2 evaluator settings" in w for w in select_runs(apart)["warnings"])


def test_nothing_judged_is_the_callers_mistake():
    with pytest.raises(UserError, match="no judged samples"):
        select_runs([])
    rows = [sample("a", 0, 0, mean_nll=1.0, n_tokens=4, status=Status.INFRA_ERROR)]
    with pytest.raises(UserError, match="no judged samples"):
        select_runs(rows)
    d = select_runs([*rows, sample("a", 0, 1, mean_nll=1.0, n_tokens=4, speedup=2.0)])
    assert (d["unjudged"], d["n_samples"], strategy(d, "random")["fast_1"]) == (1, 1, 1.0)


def test_fewer_than_ten_tasks_promise_no_interval():
    d = select_runs(study("uninformative", tasks=6, k=16))
    assert d["verdict"]["answer"] == "cannot tell"
    assert "too few for an interval" in d["verdict"]["sentence"]
    assert any("below 10" in w for w in d["warnings"])


def test_where_no_choice_matters_a_small_study_cannot_tell():
    """Twelve tasks without a difference leave room for one task in five that has one; forty do not."""

    def study_of(tasks):
        return [
            sample(f"t{t}", 0, i, mean_nll=1 + i, n_tokens=4 + i, speedup=2.0 if t % 2 else 0.5)
            for t in range(tasks)
            for i in range(4)
        ]

    v = headline(study_of(12))
    assert (v["answer"], v["estimate"], v["minimum_detectable"]) == ("cannot tell", 0.0, None)
    assert v["ci"] == pytest.approx([-(1 - 0.05 ** (1 / 12)), 1 - 0.05 ** (1 / 12)])
    assert "No cell had a choice to make" in v["sentence"]
    v = headline(study_of(40))
    assert (v["answer"], v["estimate"]) == ("no difference", 0.0)
    assert v["ci"][1] < 0.1


def test_scaling_curve_is_the_pooled_hypergeometric_with_the_stricter_bound():
    rows = [
        sample("a", s, i, mean_nll=1.0, n_tokens=4, speedup=1.2 if i == 0 else 0.9, sd=0.05)
        for s in range(2)
        for i in range(4)
    ]
    curve = select_runs(rows)["scaling"]
    assert [r["k"] for r in curve] == [1, 2, 4, 8]
    assert curve[1]["any_of_k"] == pytest.approx(1 - math.comb(6, 2) / math.comb(8, 2))
    assert curve[1]["any_of_k_sig"] == pytest.approx(1 - math.comb(6, 2) / math.comb(8, 2))
    noisier = [sample("a", 0, i, mean_nll=1.0, n_tokens=4, speedup=1.2 if i == 0 else 0.9, sd=0.07) for i in range(8)]
    d = select_runs(noisier)  # its 99 % bound is 1.002, but one of eight candidates was bound to look fast
    assert strategy(d, "oracle")["fast_1_sig"] == 1.0
    assert d["scaling"][-1]["any_of_k_sig"] == 0.0
    low = bound_at_level(np.array([1.2]), np.array([1.2 * math.exp(-2.5758293 * 0.05)]), 8)
    assert low[0] == pytest.approx(1.2 * math.exp(-0.05 * 3.2272), rel=1e-3)  # z(1 - 0.005 / 8) = 3.227
    assert bound_at_level(np.array([1.2]), np.array([1.1]), 1)[0] == pytest.approx(1.1)
    best = curve[1]["expected_best_speedup"]
    assert best == pytest.approx(1.2 * 13 / 28 + 1.0 * 15 / 28)  # slower than the reference: keep the reference
    assert curve[-1]["any_of_k_sig"] == 1.0


def test_samples_of_several_steps_have_no_curve_over_k():
    rows = [dataclasses.replace(s, step=s.index // 4) for s in study("informative", tasks=3, k=8)]
    document = select_runs(rows)
    assert document["scaling"] == document["selection_scaling"] == []
    assert any("2 steps a task" in warning for warning in document["warnings"])
    assert not any("steps a task" in w for w in select_runs(study("informative", tasks=3, k=8))["warnings"])


def test_a_curve_of_several_seeds_has_the_k_of_a_cell():
    ks = [row["k"] for row in select_runs(study("informative", tasks=3, k=6, seeds=3))["scaling"]]
    assert ks == [1, 2, 4, 6, 8, 16, 18]


def test_a_limit_below_zero_is_as_good_as_none():
    row = sample("t", 0, 0, mean_nll=1.0, n_tokens=4, speedup=1.5)
    below = dataclasses.replace(row, verdict=dataclasses.replace(row.verdict, ci_low=-0.1, ci_high=3.0))
    other = sample("t", 0, 1, mean_nll=2.0, n_tokens=4, speedup=1.2)
    document = select_runs([below, other])
    assert document["per_task"][0]["best_ci_low"] == 0.0
    assert document["scaling"][0]["any_of_k_sig"] == 0.5


def test_selection_curves_end_where_the_sample_table_is():
    rows = study("informative", tasks=12, k=24)
    d = select_runs(rows, unit="sample")
    for name in ("random", "random-top3"):
        assert d["selection_scaling"][-1][name] == pytest.approx(strategy(d, name)["fast_1_sig"])
    assert d["selection_scaling"][0]["surprisal"] == pytest.approx(d["selection_scaling"][0]["random"])


def test_rank_correlations():
    rng = np.random.default_rng(0)
    z = rng.normal(size=4000)
    x, y = z + 0.5 * rng.normal(size=4000), z + 0.5 * rng.normal(size=4000)
    assert spearman(x, y) > 0.7
    assert abs(partial_spearman(x, y, z)) < 0.06
    assert partial_spearman(x, y, np.ones(4000)) == pytest.approx(spearman(x, y))
    assert math.isnan(spearman([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]))
    assert spearman([1, 2, 3, 4], [2, 4, 6, 9]) == pytest.approx(1.0)


def test_copies_of_a_program_are_no_further_evidence_of_a_correlation():
    rng = np.random.default_rng(0)
    significant = 0
    for _ in range(10):
        rows = []
        for t in range(12):
            nll, speed = rng.uniform(1, 3, 6), np.exp(rng.normal(0, 0.2, 6))
            for i, w in enumerate(rng.integers(0, 6, 48)):
                rows.append(sample(f"t{t}", 0, i, mean_nll=nll[w], n_tokens=5, speedup=speed[w], program=f"{t} {w}"))
        documents = {unit: select_runs(rows, unit=unit) for unit in ("program", "sample")}
        assert documents["sample"]["likelihood"] == documents["program"]["likelihood"]
        assert documents["sample"]["likelihood"]["candidates"] <= 12 * 6
        significant += documents["sample"]["likelihood"]["p"] < 0.02
    assert significant <= 1


def test_a_pooled_correlation_that_disagrees_is_called_out():
    """Tasks with more surprisal are slower, but inside each task surprisal is faster (Simpson)."""
    rows = [
        sample(f"t{t}", 0, i, mean_nll=1 + t + 0.1 * i, n_tokens=5, speedup=float(np.exp(-0.5 * t + 0.05 * i)))
        for t in range(10)
        for i in range(8)
    ]
    found = select_runs(rows)["likelihood"]
    assert found["rho"] == pytest.approx(1.0)
    assert found["pooled_rho"] < -0.8
    assert "opposite sign" in found["warning"]


def test_the_profile_sees_that_the_middle_is_best():
    rows = [
        sample(f"t{t}", 0, i, mean_nll=1 + 0.1 * i, n_tokens=5, speedup=1.5 if 4 <= i < 12 else 0.7)
        for t in range(12)
        for i in range(16)
    ]
    found = select_runs(rows)["likelihood"]
    assert [r["fast_1"] for r in found["profile"]] == [0.0, 1.0, 1.0, 0.0]
    assert found["monotone"] is False
    assert monotone([{"fast_1": 0.1}, {"fast_1": 0.1}, {"fast_1": 0.4}]) is True
    assert monotone([]) is None


def test_every_strategy_is_tested_against_both_random_choices():
    d = select_runs(study("informative", tasks=12, k=16))
    pairs = {(t["a"], t["b"]): t["family"] for t in d["tests"]}
    for s in d["strategies"]:
        if s["name"] not in ("oracle", "random", "random-top3"):
            assert pairs[s["name"], "random"] == "against random"
            assert pairs[s["name"], "random-top3"] == "against random-top3"
    family = [t for t in d["tests"] if t["family"] == "against random" and t["test"] == "wilcoxon"]
    least = min(family, key=lambda t: t["p"])
    assert least["p_adjusted"] == pytest.approx(min(1.0, least["p"] * len(family)))
    assert [a["timed"] for a in d["answers"] if (a["strategy"], a["against"]) == ("surprisal-top3", "random")] == [
        [3, 1]
    ]


def test_three_tries_are_not_called_better_for_being_three():
    """An uninformative score whose best of three is compared with one random choice: the gain is real and is said to
    be; compared with three random ones it is not there."""
    said = {"random": 0, "random-top3": 0}
    for i in range(12):
        d = select_runs(study("uninformative", tasks=24, k=24, rng=i))
        for t in d["tests"]:
            key = (t["a"], t["test"], t["metric"])
            if key == ("surprisal-top3", "paired permutation", "fast_1_sig") and t["b"] in said:
                said[t["b"]] += t["p"] < 0.02
    assert said["random"] >= 4
    assert said["random-top3"] <= 1


def test_a_hill_is_told_from_a_slope():
    def rows(kind, rng):
        random = np.random.default_rng(rng)
        for t in range(16):
            for i in range(24):
                chance = {"hill": 0.8 if 6 <= i < 18 else 0.2, "slope": 0.1 + 0.8 * i / 23}[kind]
                speed = 1.5 if random.random() < chance else 0.7
                yield sample(f"t{t}", 0, i, mean_nll=1 + 0.1 * i, n_tokens=5, speedup=speed)

    hill = select_runs(list(rows("hill", 0)))["likelihood"]
    assert hill["trend"]["hill_p"] < 0.01 < hill["trend"]["linear_p"]
    assert hill["monotone"] is False
    slope = select_runs(list(rows("slope", 1)))["likelihood"]
    assert slope["trend"]["linear_p"] < 0.01 < slope["trend"]["hill_p"]
    assert slope["trend"]["linear_ci"][0] > 0
    assert slope["rho_ci"][0] > 0
    assert slope["warning"] is None


def test_a_sample_that_two_runs_hold_is_said_to_count_twice():
    rows = study("informative", tasks=3, k=4)
    assert not any("another run" in w for w in select_runs({"a": rows})["warnings"])
    said = [w for w in select_runs({"a": rows, "b": rows[:5]})["warnings"] if "another run" in w]
    assert len(said) == 1 and said[0].startswith("5 samples are in another run") and "in a:0 and b:0" in said[0]
    # Imports number their samples alike; these are other programs, or the same ones at another likelihood.
    for other in (dataclasses.replace, lambda r, **_: dataclasses.replace(r, completion=cooler(r.completion))):
        renamed = [other(r, program="x", program_digest=f"other {i}") for i, r in enumerate(rows)]
        assert not any("another run" in w for w in select_runs({"a": rows, "b": renamed})["warnings"])


def cooler(completion):
    return dataclasses.replace(completion, logprobs=tuple(2 * x for x in completion.logprobs))


def test_a_hundred_tasks_of_256_samples_in_seconds():
    rows = study("informative", tasks=100, k=256)
    with allowed_seconds(5):
        d = select_runs(rows)
    assert d["n_samples"] == 25_600


@pytest.mark.parametrize("status", [Status.INCORRECT, Status.CORRECT])
def test_only_what_was_timed_can_lack_an_interval(status):
    """Without a correct sample there is no speedup that could have none."""
    speedup = 1.2 if status is Status.CORRECT else None
    rows = [
        sample(f"t{t}", 0, i, mean_nll=1.0, n_tokens=4, speedup=speedup, status=status) for t in (0, 1) for i in (0, 1)
    ]
    rows = [
        dataclasses.replace(r, verdict=dataclasses.replace(r.verdict, ci_low=None, ci_high=None))
        for r in rows
        if r.verdict
    ]
    said = any("have no interval" in w for w in select_runs(rows)["warnings"])
    assert said == (status is Status.CORRECT)
