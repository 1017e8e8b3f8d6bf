"""Selectors choose what their names say, break ties by seed, and can't see a timing."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_samples import completion, sample, study

import longodds.selection as selection
from longodds.errors import UserError
from longodds.selection import STRATEGIES, certainty_of, get_selector, select_all, surprisal_of, to_candidates
from longodds.selection.certainty import token_certainty, token_entropy
from longodds.types import Candidate, Status, Verdict


def candidate(key, surprisal, tokens, *, correct=True):
    return Candidate(key, correct, surprisal, surprisal * tokens, tokens)


POOL = [
    candidate("a", 0.5, 10),
    candidate("b", 2.0, 4),
    candidate("wrong", 9.0, 1, correct=False),
    candidate("c", 1.0, 30),
    candidate("d", 0.1, 20),
    candidate("wrong2", 0.01, 99, correct=False),
]


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("most-confident", ["d"]),
        ("surprisal", ["b"]),
        ("surprisal-top3", ["b", "c", "a"]),
        ("confident-top3", ["d", "a", "c"]),
        ("shortest", ["b"]),
        ("longest", ["c"]),
        ("median-surprisal", ["a"]),
        ("sum-most-confident", ["d"]),
        ("sum-surprisal", ["c"]),
        ("sum-surprisal-top3", ["c", "b", "a"]),
        ("sum-confident-top3", ["d", "a", "b"]),
        ("sum-median-surprisal", ["a"]),
        ("standardised-surprisal", ["c"]),
        ("standardised-confident", ["d"]),
    ],
)
def test_each_strategy_takes_what_its_name_says(name, keys):
    assert get_selector(name).select(POOL) == keys
    assert select_all(POOL, seed=3)[name].keys == tuple(keys)


def test_random_stands_for_every_correct_candidate():
    choices = select_all(POOL, seed=0)
    for name, m in (("random", 1), ("random-top3", 3)):
        assert choices[name].uniform
        assert choices[name].m == m
        assert sorted(choices[name].keys) == ["a", "b", "c", "d"]
        drawn = get_selector(name, seed=5).select(POOL)
        assert len(drawn) == m
        assert set(drawn) <= {"a", "b", "c", "d"}
    draws = {get_selector("random", seed=s).select(POOL)[0] for s in range(40)}
    assert draws == {"a", "b", "c", "d"}


def test_every_strategy_has_a_selector_and_an_empty_cell_gives_no_choice():
    assert set(select_all([], seed=0)) == set(STRATEGIES)
    nothing = [candidate("x", 1.0, 3, correct=False)]
    for name in STRATEGIES:
        assert get_selector(name).name == name
        assert get_selector(name).select(nothing) == []
        assert select_all(nothing, seed=0)[name].keys == ()


def test_unknown_strategy_is_the_callers_mistake():
    with pytest.raises(UserError, match="surprisal-top3"):
        get_selector("supprisal")
    with pytest.raises(UserError, match="unit"):
        to_candidates([], unit="token")  # pyright: ignore[reportArgumentType]


def test_ties_are_broken_by_the_seed_and_not_by_arrival():
    tied = [candidate(f"k{i}", 1.0, 5) for i in range(6)]
    for name in ("surprisal", "most-confident", "shortest", "longest", "median-surprisal"):
        picks = {get_selector(name, seed=s).select(tied)[0] for s in range(60)}
        assert len(picks) == 6, name
        assert get_selector(name, seed=1).select(tied) == get_selector(name, seed=1).select(tied[::-1])


def test_a_candidate_without_log_probabilities_is_never_chosen_by_likelihood():
    pool = [candidate("none", math.nan, 1), candidate("a", 1.0, 9)]
    for name in STRATEGIES:
        if name in selection.NEEDS_TOP_LOGPROBS:
            assert get_selector(name).select(pool) == [], name
        elif name in selection.NEEDS_LOGPROBS:
            assert get_selector(name).select(pool) == ["a"], name
    assert get_selector("shortest").select(pool) == ["none"]


def test_surprisal_counts_only_the_score_span():
    mean, total, tokens = surprisal_of(completion([-1.0, -2.0, -6.0], pad=2))
    assert (mean, total, tokens) == (3.0, 9.0, 3)
    assert math.isnan(surprisal_of(completion([], pad=1))[0])
    assert math.isnan(surprisal_of(dataclasses.replace(completion([-1.0, -2.0]), logprobs=()))[0])
    assert math.isnan(surprisal_of(completion([-1.0, -math.inf]))[0])


def test_a_program_is_the_mean_over_its_samples_and_unjudged_samples_do_not_count():
    rows = [
        sample("t", 0, 0, mean_nll=1.0, n_tokens=10, speedup=2.0, program="same"),
        sample("t", 0, 1, mean_nll=3.0, n_tokens=20, speedup=2.0, program="same"),
        sample("t", 0, 2, mean_nll=5.0, n_tokens=7, status=Status.INCORRECT, program="bad"),
        sample("t", 0, 3, mean_nll=5.0, n_tokens=7, status=Status.INFRA_ERROR, program="ours"),
        sample("t", 0, 4, mean_nll=5.0, n_tokens=7, program="unfinished", verdict=None),
    ]
    same, bad = to_candidates(rows)
    assert (same.correct, same.surprisal, same.sum_surprisal, same.n_tokens, same.count) == (True, 2.0, 35.0, 15.0, 2)
    assert (bad.correct, bad.count) == (False, 1)
    assert [c.key for c in to_candidates(rows, unit="sample")] == ["t-0-0", "t-0-1", "t-0-2"]


def test_given_length_takes_what_is_improbable_for_its_length():
    """Surprisal falls with length; one long program is far above the line, one short one far below."""
    pool = [candidate(f"k{i}", 3.0 - 0.1 * i, 10 + i) for i in range(14)]
    pool[12] = candidate("long and odd", 2.6, 22)
    pool[2] = candidate("short and usual", 2.0, 12)
    assert get_selector("surprisal").select(pool) == ["k0"]
    assert get_selector("length-matched-surprisal").select(pool) == ["long and odd"]
    assert get_selector("length-matched-confident").select(pool) == ["short and usual"]
    equal = [candidate(f"e{i}", float(i), 7) for i in range(5)]
    assert get_selector("length-matched-surprisal").select(equal) == ["e4"]
    assert get_selector("length-matched-surprisal").select(equal[:2]) == ["e1"]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 40)), min_size=1, max_size=20), st.randoms())
def test_no_score_depends_on_the_order_of_arrival(rows, random):
    pool = [candidate(f"k{i}", s, n) for i, (s, n) in enumerate(rows)]
    mixed = random.sample(pool, len(pool))
    for name in STRATEGIES:
        assert get_selector(name, seed=3).select(pool) == get_selector(name, seed=3).select(mixed), name


def test_popularity_is_counted_in_both_units():
    rows = [sample("t", 0, i, mean_nll=1.0, n_tokens=4, speedup=1.2, program="abbb"[i]) for i in range(4)]
    digest = {r.program: r.program_digest for r in rows}
    programs, samples = to_candidates(rows), to_candidates(rows, "sample")
    assert get_selector("most-common").select(programs) == [digest["b"]]
    assert get_selector("rarest").select(programs) == [digest["a"]]
    assert get_selector("rarest").select(samples) == ["t-0-0"]
    assert get_selector("most-common").select(samples)[0] != "t-0-0"


def test_entropy_and_certainty_of_stored_distributions():
    half = (math.log(0.5), math.log(0.5))
    assert token_entropy(half) == pytest.approx(math.log(2))
    assert token_certainty(half) == pytest.approx(0.0)
    sure = (math.log(0.9), math.log(0.05))  # 0.05 is left over: one more token
    assert token_entropy(sure) == pytest.approx(-(0.9 * math.log(0.9) + 2 * 0.05 * math.log(0.05)))
    assert token_certainty(sure) == pytest.approx(-math.log(2) - (math.log(0.9) + math.log(0.05)) / 2)
    c = completion([-0.1] * 80)  # one format token on each side
    top = (half,) * 61 + (sure,) * 21
    entropy, certainty = certainty_of(dataclasses.replace(c, top_logprobs=top))
    assert entropy == pytest.approx(token_entropy(sure))  # of the last 20 tokens of the span
    assert certainty == pytest.approx(20 / 80 * token_certainty(sure))
    assert math.isnan(certainty_of(c)[0])
    assert math.isnan(certainty_of(dataclasses.replace(c, top_logprobs=((),) * 82))[1])


TIMING_FIELDS = (
    "speedup",
    "ci_low",
    "ci_high",
    "clock_bound",
    "reference_us",
    "runtime_us",
    "reference_end_to_end_us",
    "runtime_end_to_end_us",
    "gbps",
    "tflops",
    "of_ceiling",
    "pairs",
    "seconds",
    "labels",
)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_no_timing_reaches_a_selector(seed, random):
    """Replacing every measured number by noise changes no choice, and a candidate has nowhere to keep one."""
    rows = study("informative", tasks=1, k=12, rng=seed)
    noisy = []
    for row in rows:
        assert row.verdict is not None
        change = {f: random.uniform(0.01, 100.0) for f in TIMING_FIELDS if f not in ("labels", "pairs")}
        verdict = dataclasses.replace(row.verdict, **change, pairs=random.randrange(99), labels=(str(random.random()),))
        noisy.append(dataclasses.replace(row, verdict=verdict))
    for unit in ("program", "sample"):
        assert to_candidates(rows, unit) == to_candidates(noisy, unit)
        assert select_all(to_candidates(rows, unit), seed=seed) == select_all(to_candidates(noisy, unit), seed=seed)


def test_the_room_never_names_a_timing():
    """Neither the code of the room nor the type it is given mentions a measured quantity."""
    fields = {f.name for f in dataclasses.fields(Candidate)}
    scores = {"surprisal", "sum_surprisal", "n_tokens", "tail_entropy", "self_certainty"}
    assert fields == {"key", "correct", "count", "popularity"} | scores
    verdict_fields = {f.name for f in dataclasses.fields(Verdict)} - {"status", "task_id", "message", "evaluator"}
    for path in Path(inspect.getfile(selection)).parent.glob("*.py"):
        used = {n.attr for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute)}
        assert not used & (verdict_fields - {"isolation"}), path
