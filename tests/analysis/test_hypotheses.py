"""Tests and intervals against enumeration, against SciPy, and against their promises in simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from longodds.analysis.hypotheses import (
    cohens_h,
    holm,
    minimum_detectable_effect,
    permutation_p,
    poisson_binomial,
    sign_flip_test,
    sign_test,
    two_sided,
    wilcoxon_test,
)
from longodds.analysis.resampling import Bootstrap, mean_interval


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=8))
def test_poisson_binomial_against_all_outcomes(q):
    brute = np.zeros(len(q) + 1)
    for outcome in itertools.product([0, 1], repeat=len(q)):
        brute[sum(outcome)] += math.prod(p if x else 1 - p for p, x in zip(q, outcome, strict=True))
    assert poisson_binomial(q) == pytest.approx(brute, abs=1e-12)


def test_two_sided_doubles_the_smaller_tail():
    pmf = stats.binom.pmf(np.arange(11), 10, 0.5)
    assert two_sided(pmf, 9) == pytest.approx(2 * stats.binom.sf(8, 10, 0.5))
    assert two_sided(pmf, 1) == pytest.approx(2 * stats.binom.cdf(1, 10, 0.5))
    assert two_sided(pmf, 5) == 1.0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
def test_sign_flips_against_all_flips(ds):
    total = abs(sum(ds))
    brute = np.mean(
        [
            abs(sum(s * d for s, d in zip(f, ds, strict=True))) >= total
            for f in itertools.product([1, -1], repeat=len(ds))
        ]
    )
    mean, p = sign_flip_test(ds)
    assert mean == pytest.approx(np.mean(ds))
    assert p == pytest.approx(brute)


def test_many_sign_flips_are_sampled_and_close():
    d = np.random.default_rng(3).normal(0.35, 1, 40)
    assert sign_flip_test(d)[1] == pytest.approx(stats.ttest_1samp(d, 0).pvalue, abs=0.01)


def test_permutation_p_counts_both_tails():
    null = np.array([-2.0, -1.0, 0.0, 1.0, 2.0] * 200)
    assert permutation_p(2.0, null) == pytest.approx(2 * 201 / 1001)
    assert permutation_p(-3.0, null) == pytest.approx(2 / 1001)
    assert permutation_p(0.0, null) == 1.0


def test_library_tests_and_effect_sizes():
    d = np.array([0.3, -0.1, 0.7, 0.2, 0.05, -0.4, 0.9, 0.0])
    assert wilcoxon_test(d)[1] == pytest.approx(stats.wilcoxon(d[:-1]).pvalue)
    assert wilcoxon_test([0.0, 0.0]) == (0.0, 1.0)
    assert sign_test(d) == (5, pytest.approx(stats.binomtest(5, 7).pvalue))
    assert sign_test([0.0]) == (0, 1.0)
    assert cohens_h(0.8, 0.5) == pytest.approx(0.6435, abs=1e-4)
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_minimum_detectable_effect_is_where_the_power_is():
    q = np.random.default_rng(0).uniform(0.2, 0.7, 24)
    effect = minimum_detectable_effect(q)
    assert effect is not None
    assert 0.2 < effect < 0.4
    assert minimum_detectable_effect(np.tile(q, 4)) < effect / 1.7  # pyright: ignore[reportOptionalOperand]
    assert minimum_detectable_effect([0.5, 0.5, 0.5]) is None
    assert minimum_detectable_effect([0.0] * 30) is None
    assert minimum_detectable_effect([1.0] * 30) is None
    rng = np.random.default_rng(1)  # its power by simulation: shift the odds until the mean gain is `effect`
    factor = next(f for f in np.arange(1, 60, 0.05) if (q * f / (1 - q + q * f) - q).mean() >= effect)
    shifted = q * factor / (1 - q + q * factor)
    null = poisson_binomial(q)
    hits = [two_sided(null, int((rng.random(24) < shifted).sum())) < 0.02 for _ in range(2000)]
    assert np.mean(hits) == pytest.approx(0.8, abs=0.04)


def test_bootstrap_draws_whole_tasks():
    tasks = np.array([0, 0, 1, 1, 2, 2])
    bootstrap = Bootstrap(tasks, draws=4000)
    means = bootstrap.means([1.0, 1.0, 2.0, 2.0, 6.0, 6.0])
    assert bootstrap.units == 3
    assert set(np.round(means * 3).astype(int)) == {a + b + c for a in (1, 2, 6) for b in (1, 2, 6) for c in (1, 2, 6)}
    assert means.mean() == pytest.approx(3.0, abs=0.05)
    assert Bootstrap(np.zeros(3, dtype=int), draws=10).units == 3  # one task: its seeds


def test_interval_of_a_share_that_never_varied_is_exact():
    assert mean_interval([1.0] * 20, range(20), share=True) == (pytest.approx(0.025 ** (1 / 20)), 1.0)
    assert mean_interval([0.0] * 20, range(20), share=True) == (0.0, pytest.approx(1 - 0.025 ** (1 / 20)))
    assert mean_interval([1.0], [0]) is None
    assert mean_interval([1.0, math.nan], [0, 1]) is None


@pytest.mark.parametrize("n", [30, 60, 100])
def test_no_difference_is_false_in_at_most_5_percent(n):
    """All that differ do so one way, in a true share just beyond the margin of 0.10; resampling alone: up to 18 %."""
    bootstrap = Bootstrap(range(n))
    highs = [bootstrap.of_differences([1.0] * x + [0.0] * (n - x), (0.90,))[0][1] for x in range(n // 5)]
    said = [x for x, high in enumerate(highs) if high <= 0.10]
    assert 0 in said
    assert stats.binom.pmf(said, n, 0.101).sum() <= 0.05


def test_differences_reach_as_far_as_their_counts():
    bootstrap = Bootstrap(range(20))
    (low, high), wide = bootstrap.of_differences([1.0] * 3 + [0.0] * 17, (0.90, 0.95))
    assert wide[0] < low and high < wide[1]
    exact = stats.binomtest(3, 20).proportion_ci(0.90, method="exact")
    assert high == pytest.approx(exact.high)
    assert low == pytest.approx(0.15 - math.hypot(0.15 - exact.low, 1 - 0.05 ** (1 / 20)))
    mirrored = bootstrap.of_differences([-1.0] * 3 + [0.0] * 17, (0.90,))[0]
    assert mirrored == pytest.approx((-high, -low), abs=0.01)
    smooth = np.linspace(-0.3, 0.4, 20)  # expectations: there is nothing to count
    assert bootstrap.of_differences(smooth, (0.95,))[0] == bootstrap.interval(smooth)
    seeds = Bootstrap(np.repeat(np.arange(10), 3)).of_differences([1.0, 0.0, 0.0] + [0.0] * 27, (0.90,))[0]
    assert seeds[1] > 1 / 30 + 0.2  # tasks are counted, not their cells: few as they are
    assert Bootstrap([]).of_differences([], (0.90,)) == [None]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("tasks", "seeds"), [(20, 1), (20, 3), (40, 2), (24, 1)])
@pytest.mark.parametrize("what", ["share", "gaussian", "within only"])
def test_bootstrap_covers_93_to_97_percent_from_20_tasks_on(tasks, seeds, what):
    rng = np.random.default_rng(7)
    labels = np.repeat(np.arange(tasks), seeds)
    inside = 0
    studies = 2500
    for _ in range(studies):
        if what == "share":
            truth = rng.uniform(0.25, 0.75)  # one truth alone covers 93.6 or 97.7 %: 24 cells have 25 possible shares
            chance = rng.beta(4 * truth, 4 * (1 - truth), tasks)
            values = (rng.random(len(labels)) < chance[labels]).astype(float)
        else:
            spread = 0.0 if what == "within only" else 1.0
            values, truth = spread * rng.normal(size=tasks)[labels] + rng.normal(size=len(labels)), 0.0
        interval = mean_interval(values, labels, share=what == "share", draws=1000, seed=int(rng.integers(2**31)))
        assert interval is not None
        inside += interval[0] <= truth <= interval[1]
    assert 0.93 <= inside / studies <= 0.97
