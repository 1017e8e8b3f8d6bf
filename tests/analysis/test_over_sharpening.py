"""The probe on arrays: trajectories of known kind, figures against slow calculations."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from longodds.analysis.likelihood import spearman
from longodds.analysis.probe import FixedTask, Scored, probe_document, program_mass

TASKS, N = 14, 24


def fixed(rng, *, tasks=TASKS, n=N):
    """Each sample a program of its own; surprisal and speed unrelated; three in four correct."""
    out = []
    for t in range(tasks):
        correct = rng.random(n) < 0.75
        correct[:2] = [False, True]
        out.append(
            FixedTask(
                task_id=f"t{t}",
                correct=correct,
                speedup=np.where(correct, np.exp(rng.normal(0, 0.3, n)), math.nan),
                surprisal=rng.gamma(4, 0.25, n),
                program=np.arange(n),
                sequence=np.arange(n),
            )
        )
    return out


def trajectory(tasks, pull, *, steps=4, noise=0.0, rng=None):
    """Checkpoint s lowers the NLL by s times what `pull` gives for each sample of a task; sequences have 10 tokens."""
    points = []
    for step in range(steps + 1):
        nll = [t.surprisal - step * pull(t) + (step * noise * rng.normal(size=N) if noise else 0.0) for t in tasks]
        points.append(Scored(step, f"v{step}", nll, [-10 * x for x in nll]))
    return points


def towards_fast(t):
    return 0.2 * np.where(t.correct, np.log(np.where(t.correct, t.speedup, 1.0)), 0.0)


def towards_first(t):
    pull = np.zeros(N)
    pull[np.flatnonzero(t.correct)[0]] = 0.3
    return pull


def test_learning_what_is_fast_lowers_rho_beyond_shuffled_rewards():
    rng = np.random.default_rng(0)
    tasks = fixed(rng)
    nulls = {f"null{i}": trajectory(tasks, lambda t: np.zeros(N), noise=0.03, rng=rng) for i in range(3)}
    d = probe_document(tasks, trajectory(tasks, towards_fast), nulls)
    json.dumps(d, allow_nan=False)
    last = d["checkpoints"][-1]
    assert last["step"] == 4
    assert last["rho"] < d["checkpoints"][0]["rho"] - 0.2
    assert last["rho_change_ci"][1] < 0
    assert d["null"]["runs"] == ["null0", "null1", "null2"]
    assert len(d["null"]["checkpoints"]) == 5
    assert d["null"]["excess"] < -0.2
    assert d["null"]["p"] < 0.02
    assert "more than what training on noise does" in d["sentence"]


def test_training_on_noise_is_not_told_apart_from_noise():
    said = 0
    for i in range(40):
        rng = np.random.default_rng(i)
        tasks = fixed(rng)
        mine, *nulls = (trajectory(tasks, lambda t: np.zeros(N), steps=1, noise=0.3, rng=rng) for _ in range(3))
        said += probe_document(tasks, mine, dict(enumerate(nulls)))["null"]["p"] < 0.02
    assert said <= 3


def test_a_run_is_one_observation_however_many_tasks_it_moves():
    """All runs are on noise, and each moves all of its tasks together, its own way."""
    said = 0
    for i in range(40):
        rng = np.random.default_rng(100 + i)
        tasks = fixed(rng)

        def run(tasks=tasks, rng=rng):
            lean = rng.normal(0, 0.5)
            return trajectory(tasks, lambda t: lean * towards_fast(t), noise=0.03, rng=rng)

        d = probe_document(tasks, run(), {f"null{j}": run() for j in range(4)})
        said += "more than" in d["sentence"]
    assert said <= 2


def test_too_few_runs_on_noise_allow_no_claim():
    rng = np.random.default_rng(0)
    tasks = fixed(rng)
    one = trajectory(tasks, lambda t: np.zeros(N), noise=0.03, rng=rng)
    for nulls in ({"a": one}, {"a": one, "b": one}):
        d = probe_document(tasks, trajectory(tasks, towards_fast), nulls)
        assert d["null"]["excess"] < -0.2
        assert d["null"]["p"] is None
        assert "more than" not in d["sentence"]
        assert "can't tell how far such runs spread" in d["sentence"]


def test_mass_goes_to_the_first_success_and_entropy_falls():
    tasks = fixed(np.random.default_rng(1))
    d = probe_document(tasks, trajectory(tasks, towards_first), {})
    mass = [c["mass_on_first_success"] for c in d["checkpoints"]]
    assert mass == sorted(mass)
    assert mass[-1] > 2 * mass[0]
    assert d["checkpoints"][-1]["entropy"] < d["checkpoints"][0]["entropy"]
    assert d["checkpoints"][-1]["distinct"] < d["checkpoints"][0]["distinct"]
    assert d["null"]["p"] is None
    assert "--null" in d["sentence"]


def test_figures_against_a_slow_calculation():
    tasks = fixed(np.random.default_rng(2), tasks=3)
    points = trajectory(tasks, towards_fast, steps=1)
    row = probe_document(tasks, points, {})["checkpoints"][1]
    rhos, weights, quartiles, qweights, entropies, firsts, distincts = [], [], [], [], [], [], []
    for t, nll, total in zip(tasks, points[1].nll, points[1].total, strict=True):
        right = [i for i in range(N) if t.correct[i]]
        rhos.append(spearman(nll[right], t.speedup[right]))
        weights.append(len(right) - 1)
        high = sorted(right, key=lambda i: -t.surprisal[i])[: math.ceil(len(right) / 4)]
        quartiles.append(spearman(nll[high], t.speedup[high]))
        qweights.append(len(high) - 1)
        p = np.exp(total) / np.exp(total).sum()
        entropies.append(-sum(x * math.log(x) for x in p))
        distincts.append(sum(1 - (1 - x) ** N for x in p))
        firsts.append(p[right[0]])
    assert row["rho"] == pytest.approx(np.average(rhos, weights=weights))
    assert row["rho_high_surprisal_quartile"] == pytest.approx(np.average(quartiles, weights=qweights))
    assert row["entropy"] == pytest.approx(np.mean(entropies))
    assert row["distinct"] == pytest.approx(np.mean(distincts))
    assert row["mass_on_first_success"] == pytest.approx(np.mean(firsts))
    assert row["mean_nll"] == pytest.approx(np.mean([x.mean() for x in points[1].nll]))
    assert row["covered_mass"] == pytest.approx(np.mean([np.exp(x).sum() for x in points[1].total]))


def test_a_program_is_all_sequences_that_wrote_it_once_each():
    mass, covered = program_mass(np.array([0, 0, 1, 0]), np.array([0, 1, 2, 0]), np.log([0.1, 0.2, 0.1, 0.1]))
    assert mass == pytest.approx([0.75, 0.25])
    assert covered == pytest.approx(0.4)
    mass, covered = program_mass(np.array([0, 1]), np.array([0, 1]), np.array([-2000.0, -2000.0]))
    assert mass == pytest.approx([0.5, 0.5])
    assert covered == 0.0


def test_what_cannot_be_known_is_null_and_said():
    tasks = [
        FixedTask("a", np.array([True, False]), np.array([1.2, math.nan]), np.ones(2), np.arange(2), np.arange(2)),
        FixedTask("b", np.array([False]), np.array([math.nan]), np.ones(1), np.arange(1), np.arange(1)),
    ]
    scored = Scored(0, "v", [np.ones(2), np.ones(1)], [-np.ones(2), -np.ones(1)])
    d = probe_document(tasks, [scored], {})
    assert d["checkpoints"][0]["rho"] is None
    assert d["checkpoints"][0]["mass_on_first_success"] == pytest.approx(0.5)
    assert d["sentence"].startswith("Cannot tell")
    assert any("no rank correlation" in w for w in d["warnings"])
    with pytest.raises(ValueError, match="at least one checkpoint"):
        probe_document(tasks, [], {})
