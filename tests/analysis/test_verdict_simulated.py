"""Studies with known truth: the verdict is right, and "better" is hardly ever said where it is false."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hard_worlds import WORLDS, hard_study
from synthetic_samples import sample, study

from longodds.analysis import headline

RIGHT = {
    "informative": {"better"},
    "length": {"better"},
    "anti": {"worse"},
    "uninformative": {"no difference", "cannot tell"},
}


def answers(kind, studies, **design):
    """Counter of (answer, beyond_length) over studies."""
    said = Counter()
    for i in range(studies):
        v = headline(study(kind, rng=1000 + i, **design), unit=("program", "sample")[i % 2])
        said[v["answer"], v["beyond_length"]] += 1
    return said


def share(said, wanted):
    return sum(n for (answer, _), n in said.items() if answer in wanted) / sum(said.values())


@pytest.mark.parametrize("kind", list(RIGHT))
def test_clear_truths_are_seen(kind):
    design = {"tasks": 24, "k": 48, "effect": 2.5}
    said = answers(kind, 4, **design)
    assert share(said, RIGHT[kind]) == 1.0
    if kind in ("informative", "anti"):
        assert all(beyond for _, beyond in said)
    if kind == "length":
        assert not any(beyond for _, beyond in said)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", list(RIGHT))
def test_verdicts_are_right_on_simulated_studies(kind):
    """75 studies of each truth, 20 to 24 tasks of 48 to 64 samples: right at least 95 in 100, over all kinds."""
    said = Counter()
    for tasks, k in ((20, 48), (24, 48), (20, 64), (24, 64), (22, 56)):
        said += answers(kind, 15, tasks=tasks, k=k, effect=2.0)
    assert share(said, RIGHT[kind]) >= 0.95, said
    if kind in ("informative", "anti"):
        assert sum(n for (_, beyond), n in said.items() if beyond) / 75 >= 0.93, said
    if kind == "length":
        assert sum(n for (_, beyond), n in said.items() if beyond) <= 2, said


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "design",
    [
        {"tasks": 22, "k": 56},
        {"tasks": 20, "k": 16, "seeds": 3, "distinct": 0.3},  # seeds share programs
        {"tasks": 8, "k": 16},
        {"tasks": 4, "k": 8, "seeds": 2},
        {"tasks": 24, "k": 48, "correct": 0.1},
    ],
    ids=["plain", "shared programs", "small", "tiny", "hard"],
)
def test_better_is_hardly_ever_said_where_nothing_is_there(design):
    said = answers("uninformative", 150, **design)
    assert share(said, {"better"}) <= 0.02, said
    assert share(said, {"better", "worse"}) <= 0.04, said


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("world", list(WORLDS))
def test_the_verdict_is_never_the_opposite_in_other_worlds(world):
    """Studies unlike those on which the rules were made; a larger table is scripts/verdict_table.py's."""
    false = {"informative": "worse", "anti": "better", "length": "worse"}
    for kind, wrong in false.items():
        said = [headline(hard_study(kind, WORLDS[world], tasks=22, k=48, rng=i)) for i in range(2)]
        assert all(v["answer"] != wrong for v in said), (world, kind)
        if kind == "length":
            assert not any(v["beyond_length"] for v in said), world
        elif world != "hardly any fast (1 in 10)":
            assert any(v["answer"] in ("better", "worse") for v in said), (world, kind)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_better_is_not_said_because_most_candidates_are_fast():
    """Where 90 % of the correct candidates are fast, all choices of 20 cells are fast in one study of eight; a sign
    flip of (choice - random) would call most of those significant."""
    rng = np.random.default_rng(0)
    said = Counter()
    for _ in range(150):
        rows = [
            sample(
                f"t{t}", 0, i, mean_nll=float(rng.exponential()), n_tokens=9, speedup=1.3 if rng.random() < 0.9 else 0.8
            )
            for t in range(20)
            for i in range(20)
        ]
        said[headline(rows)["answer"]] += 1
    assert said["better"] + said["worse"] <= 3, said
