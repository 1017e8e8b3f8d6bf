"""Every closed form against enumeration of all subsets of small pools."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longodds.analysis.estimators import (
    any_of_k,
    equivalent_k,
    expected_best,
    expected_random_m,
    expected_top_m,
    fast_flags,
    fast_p,
    k_grid,
    prefix_best,
)

values = st.floats(-5, 5, allow_nan=False).map(lambda x: round(x, 3))
speedups = st.lists(values, min_size=1, max_size=8)
CLOSE = {"rel": 1e-9, "abs": 1e-9}


@settings(max_examples=80, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=9))
def test_any_of_k_is_the_share_of_subsets_with_a_hit(hits):
    n = len(hits)
    ks = list(range(1, n + 1))
    brute = [np.mean([any(s) for s in itertools.combinations(hits, k)]) for k in ks]
    assert any_of_k(n, sum(hits), ks) == pytest.approx(brute, **CLOSE)


@settings(max_examples=80, deadline=None)
@given(speedups)
def test_expected_best_is_the_mean_maximum(vs):
    ks = list(range(1, len(vs) + 1))
    brute = [np.mean([max(s) for s in itertools.combinations(vs, k)]) for k in ks]
    assert expected_best(vs, ks) == pytest.approx(brute, **CLOSE)


flags = st.sampled_from([0.0, 1.0])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(values, max_size=7) | st.lists(flags, max_size=7),
    st.integers(0, 3),
    st.integers(1, 4),
    st.sampled_from([0.0, 1.0, -0.5]),
)
def test_top_m_by_score_among_the_correct_of_a_random_subset(vs, wrong, m, empty):
    """Positions in `vs` are the ranks by score: the m first ones present are timed, the best of them is used."""
    n = len(vs) + wrong
    if not n:
        return
    ks = list(range(1, n + 1))

    def chosen(subset):
        present = sorted(i for i in subset if i < len(vs))
        return max((vs[i] for i in present[:m]), default=empty)

    brute = [np.mean([chosen(s) for s in itertools.combinations(range(n), k)]) for k in ks]
    assert expected_top_m(vs, n, ks, m=m, empty=empty) == pytest.approx(brute, **CLOSE)


@settings(max_examples=100, deadline=None)
@given(st.lists(values, max_size=6), st.integers(0, 2), st.integers(1, 3), st.sampled_from([0.0, 1.0]))
def test_random_m_among_the_correct_of_a_random_subset(vs, wrong, m, empty):
    n = len(vs) + wrong
    if not n:
        return
    ks = list(range(1, n + 1))

    def expected(subset):
        present = [vs[i] for i in subset if i < len(vs)]
        if not present:
            return empty
        return np.mean([max(s) for s in itertools.combinations(present, min(m, len(present)))])

    brute = [np.mean([expected(s) for s in itertools.combinations(range(n), k)]) for k in ks]
    assert expected_random_m(vs, n, ks, m=m, empty=empty) == pytest.approx(brute, **CLOSE)


def test_the_whole_pool_is_what_the_selector_does():
    vs = [0.3, 2.0, 1.1, 5.0]
    assert expected_top_m(vs, 6, [6])[0] == pytest.approx(0.3)
    assert expected_top_m(vs, 6, [6], m=3)[0] == pytest.approx(2.0)
    assert expected_top_m(vs, 6, [6], m=4)[0] == pytest.approx(5.0)
    assert expected_random_m(vs, 6, [6])[0] == pytest.approx(np.mean(vs))


def test_large_pools_stay_exact():
    """Against exact integer arithmetic at n = 2000."""
    n, fast = 2000, 7
    ks = [1, 10, 500, 1990, 2000]
    exact = [1 - math.comb(n - fast, k) / math.comb(n, k) for k in ks]
    assert any_of_k(n, fast, ks) == pytest.approx(exact, **CLOSE)
    vs = np.linspace(0, 1, n)
    assert expected_best(vs, ks) == pytest.approx([(k / (k + 1) * (n + 1) - 1) / (n - 1) for k in ks], **CLOSE)
    every_third = (np.arange(n) % 3 == 0).astype(float)
    assert expected_top_m(every_third, n, [n], m=3)[0] == pytest.approx(1.0)


def test_k_beyond_n_has_no_unbiased_estimate():
    for call in (lambda: any_of_k(4, 1, [5]), lambda: expected_best([1.0], [2]), lambda: expected_top_m([1.0], 1, [0])):
        with pytest.raises(ValueError, match="K must lie in"):
            call()


def test_fast_p_keeps_incorrect_samples_in_the_denominator():
    assert fast_p([True, True, False, True], [1.2, 1.0, 9.0, 1.06]) == 0.5
    assert fast_p([True, True, False, True], [1.2, 1.0, 9.0, 1.06], p=1.1) == 0.25
    assert math.isnan(fast_p([], []))
    assert math.isnan(fast_p([True], [math.nan]))
    assert list(fast_flags([True, False], [1.3, math.nan])) == [1.0, 0.0]


def test_equivalent_k_interpolates_on_the_log_axis_and_names_both_ends():
    ks, curve = [1, 2, 4, 8], [0.2, 0.4, 0.4, 0.8]
    assert equivalent_k(ks, curve, 0.2) == 1
    assert equivalent_k(ks, curve, 0.3) == pytest.approx(2**0.5)
    assert equivalent_k(ks, curve, 0.4) == 2
    assert equivalent_k(ks, curve, 0.6) == pytest.approx(2**2.5)
    assert equivalent_k(ks, curve, 0.8) == 8
    assert equivalent_k(ks, curve, 0.1) == "<1"
    assert equivalent_k(ks, curve, 0.9) == ">n"
    assert equivalent_k([], [], 0.9) is None
    assert equivalent_k(ks, curve, math.nan) is None


def test_equivalent_k_is_where_a_falling_curve_first_reaches_the_value():
    """At K = 16 winners that are measured again decide, and some of them fail."""
    ks, curve = [1, 2, 4, 8, 16], [0.2, 0.4, 0.6, 0.8, 0.6]
    assert equivalent_k(ks, curve, 0.7) == pytest.approx(2**2.5)
    assert equivalent_k(ks, curve, 0.8) == 8
    assert equivalent_k(ks, curve, 0.6) == 4
    assert equivalent_k(ks, curve, 0.9) == ">n"


def test_small_helpers():
    assert prefix_best([[1, 3, 2], [0, -1, 4]]).tolist() == [[1, 3, 3], [0, 0, 4]]
    assert k_grid(20) == [1, 2, 4, 8, 16, 20]
    assert k_grid(16) == [1, 2, 4, 8, 16]
    assert k_grid(0) == []
