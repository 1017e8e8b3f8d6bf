"""The permutation null against every permutation of small studies, with and without shared programs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from synthetic_samples import sample, study

from longodds.analysis.hypotheses import poisson_binomial, two_sided
from longodds.analysis.null import distinct_programs, permutation_null
from longodds.analysis.outcomes import outcomes
from longodds.analysis.pool import build_pools
from longodds.selection import STRATEGIES
from longodds.types import Status

FAST, SLOW = 1.5, 0.7
NAMES = [s for s in STRATEGIES if not s.startswith("random")]


def write(programs, speed, counts):
    """Samples of one task: `counts` says how often each seed wrote each program; surprisal grows with the program."""
    rows = []
    for seed, row in enumerate(counts):
        written = [j for j, n in enumerate(row) for _ in range(n)]
        rows += [
            sample("t", seed, i, mean_nll=1.0 + j, n_tokens=5, speedup=speed[j], program=programs[j])
            for i, j in enumerate(written)
        ]
    return rows


def null_of(rows, unit):
    found = outcomes(build_pools(rows, unit), seed=0)
    null = permutation_null(found, "fast_1_sig", NAMES, seed=0)
    assert null is not None
    return found, null


@pytest.mark.parametrize("unit", ["program", "sample"])
@pytest.mark.parametrize("strategy", ["surprisal", "most-confident", "surprisal-top3"])
def test_shared_programs_move_together_against_every_permutation(unit, strategy):
    counts = [[4, 1, 1, 0, 1], [3, 0, 1, 2, 1]]
    speed = [FAST, SLOW, SLOW, FAST, FAST]
    programs = [f"p{j}" for j in range(5)]
    baseline = "random-top3" if strategy.endswith("top3") else "random"
    _, null = null_of(write(programs, speed, counts), unit)
    assert not null.exact
    brute = []
    for order in itertools.permutations(range(5)):
        found = outcomes(build_pools(write(programs, [speed[i] for i in order], counts), unit), seed=0)
        brute.append(float((found.of(strategy, "fast_1_sig") - found.of(baseline, "fast_1_sig")).sum()))
    drawn = null.fast[strategy] - null.fast[baseline]
    assert drawn.mean() == pytest.approx(np.mean(brute), abs=0.02)
    assert drawn.std() == pytest.approx(np.std(brute), abs=0.02)
    for value in np.unique(np.round(brute, 6)):
        assert (np.abs(drawn - value) < 1e-5).mean() == pytest.approx(
            (np.abs(np.array(brute) - value) < 1e-5).mean(), abs=0.03
        )
    logs = []
    for order in itertools.permutations(range(5)):
        found = outcomes(build_pools(write(programs, [speed[i] for i in order], counts), unit), seed=0)
        logs.append(float((found.of(strategy, "log_speedup") - found.of(baseline, "log_speedup")).sum()))
    drawn = null.log[strategy] - null.log[baseline]
    assert drawn.std() == pytest.approx(np.std(logs), abs=0.02)
    assert drawn.mean() == pytest.approx(np.mean(logs), abs=0.02)


def test_where_nothing_is_shared_the_distribution_is_exact():
    rows = [
        sample(f"t{t}", 0, i, mean_nll=1.0 + i, n_tokens=5, speedup=FAST if i % (t + 2) == 0 else SLOW)
        for t in range(5)
        for i in range(6)
    ]
    found, null = null_of(rows, "sample")
    q = found.of("random", "fast_1_sig")
    assert null.exact["random"] == pytest.approx(poisson_binomial(q))
    assert null.exact["random-top3"] == pytest.approx(poisson_binomial(found.of("random-top3", "fast_1_sig")))
    drawn = null.fast["surprisal"]
    assert [(np.round(drawn) == k).mean() for k in range(6)] == pytest.approx(null.exact["random"].tolist(), abs=0.02)
    assert null.fast_p("surprisal", "random", 1.0) == two_sided(null.exact["random"], 1)
    assert null.spread("surprisal", "random") == pytest.approx(np.sqrt((q * (1 - q)).sum()) / 5)


def test_popular_programs_are_no_more_evidence_than_rare_ones():
    """One program wrote nearly all samples. Had samples been permuted, the rare choice would look like a sure thing."""
    rows = []
    for t in range(20):
        for i in range(20):
            speed = SLOW if i else FAST
            rows.append(
                sample(
                    f"t{t}",
                    0,
                    i,
                    mean_nll=9.0 if i == 0 else 1.0,
                    n_tokens=5,
                    speedup=speed,
                    program=f"{t} rare" if i == 0 else f"{t} popular",
                )
            )
    _, null = null_of(rows[: 20 * 5], "sample")  # five tasks, two programs each: one of 32 outcomes
    assert null.fast_p("surprisal", "random", 5.0) == pytest.approx(2 / 32, abs=0.01)


def test_seeds_that_share_programs_detect_less_than_seeds_that_do_not():
    shared = null_of(study("uninformative", tasks=20, k=16, seeds=3, distinct=0.5), "program")[1]
    apart = null_of(study("uninformative", tasks=60, k=16, distinct=0.5), "program")[1]
    a, b = shared.minimum_detectable["random"], apart.minimum_detectable["random"]
    assert a is not None
    assert b is not None
    assert a > 1.4 * b


def test_tasks_without_a_correct_program_detect_nothing_however_many_seeds_they_have():
    """Seeds that all write the same programs are one: the gain is a share of cells, so their number changes nothing."""

    def found(seeds):
        rows = [
            sample(f"t{t:02d}", s, i, mean_nll=1.0 + i, n_tokens=5, program=f"p{i}", **what)
            for t in range(24)
            for s in range(seeds)
            for i in range(8)
            for what in [{"speedup": 1.5 if i < 3 else 0.8} if t < 12 else {"status": Status.INCORRECT}]
        ]
        return null_of(rows, "program")[1].minimum_detectable["random"]

    assert found(3) == pytest.approx(found(1), rel=0.02)


def test_length_is_told_from_luck_where_seeds_share_programs():
    rows = [
        sample(f"t{t}", s, i, mean_nll=1.0 + i, n_tokens=5 + i, program=f"p{i}", speedup=1.5 if i % 2 else 0.8)
        for t in range(4)
        for s in range(8)
        for i in range(4)
    ]
    _, null = null_of(rows, "program")
    assert null.hits_p(np.full(32, 0.5), 32) == pytest.approx(2 / 2**4, abs=0.02)  # four tasks, not 32 cells
    apart = null_of([r for r in rows if r.seed == 0], "program")[1]
    assert apart.hits_p(np.full(4, 0.5), 4) == pytest.approx(2 / 2**4)


def test_distinct_programs():
    assert distinct_programs([np.array([0, 1]), np.array([2])])
    assert not distinct_programs([np.array([0, 1]), np.array([1])])
    assert not distinct_programs([np.array([0, 0])])
