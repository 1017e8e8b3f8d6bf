"""Learning that can't pass by luck: expected reward rises by an effect fixed in advance, and the controls exclude it.

The model is a table of logits, so expected reward is computed and not estimated. Uniform logits earn 2/3; the most that
can be earned is 2. EFFECT was fixed before the first run of this file.
"""

from __future__ import annotations

import statistics

import pytest
import torch
from run_fakes import FakeEvaluator, FakePolicy, make_tasks
from scipy.stats import t
from tabular import TabularLearner

from longodds.config import resolve
from longodds.learning import Datum
from longodds.policy.losses import token_losses
from longodds.strategies.adapt import rlvr, ttt
from longodds.strategies.learning_settings import RLVRSettings, TTTSettings
from longodds.strategies.lessons import Rewarded, Weights, datum
from longodds.strategies.sampling import Asked
from longodds.types import Completion, Prompt, Sample, Status, Verdict

EFFECT = 0.4
SEEDS = range(10)
COMMON = {"suite": "fake", "k": 16, "lr": 0.3, "temperature": 1.0, "max_kl": 50.0}


def gain(path, seed, kind="ttt", **flags):
    learner = TabularLearner()
    tasks = make_tasks(3)
    if kind == "ttt":
        settings = resolve(TTTSettings, flags={**COMMON, "steps": 5, "held_out": 0, "seeds": [seed], **flags})
        ttt(path, settings, learner=learner, evaluator=FakeEvaluator(), tasks=tasks)
    else:
        settings = resolve(RLVRSettings, flags={**COMMON, "steps": 8, "batch_tasks": 2, "seeds": [seed], **flags})
        rlvr(path, settings, learner=learner, evaluator=FakeEvaluator(), tasks=tasks, eval_tasks=[])
    return learner.snapshot().reward() - 2 / 3


def interval(gains):
    """99 % interval of the mean over seeds."""
    half = t.ppf(0.995, len(gains) - 1) * statistics.stdev(gains) / len(gains) ** 0.5
    return statistics.fmean(gains) - half, statistics.fmean(gains) + half


@pytest.mark.parametrize("advantage", ["global", "group", "loo", "entropic"])
def test_time_training_learns(tmp_path, advantage):
    gains = [gain(tmp_path / str(s), s, advantage=advantage) for s in SEEDS]
    assert interval(gains)[0] > EFFECT, gains


def test_the_outer_loop_learns(tmp_path):
    gains = [gain(tmp_path / str(s), s, "rlvr") for s in SEEDS]
    assert interval(gains)[0] > EFFECT, gains


@pytest.mark.parametrize("kind", ["ttt", "rlvr"])
def test_shuffled_rewards_teach_nothing(tmp_path, kind):
    gains = [gain(tmp_path / str(s), s, kind, shuffle_rewards=True) for s in SEEDS]
    low, high = interval(gains)
    assert high < EFFECT and low < 0.1, gains
    assert statistics.stdev(gains) > 0  # it moves, but nowhere


def test_without_a_learning_rate_nothing_changes(tmp_path):
    assert [gain(tmp_path / str(s), s, lr=0.0) for s in SEEDS] == [0.0] * len(SEEDS)


def test_tokens_of_unknown_behaviour_are_weighted_against_temperature_1():
    """A service may report temperature 1 whatever it samples at, or nothing at all."""
    asked = Asked(make_tasks(1)[0], Prompt(text="p"))
    known = ((-1.0, -2.0), (-0.5, -1.5))
    rows = [known, (known[0], ()), ((), ()), known]  # logprobs, sampling_logprobs

    def sample(i: int, scores: tuple[tuple[float, ...], tuple[float, ...]]) -> Sample:
        completion = Completion((1, 2), *scores, (0, 2), "x", "stop", "v1")
        verdict = Verdict("t", Status.CORRECT if i % 2 else Status.INCORRECT)
        return Sample(str(i), "t", 0, i, "ttt", 0, completion, "x", "d", verdict)

    def learned(**flags: str) -> list[Datum]:
        flags = {"advantage": "global", "baseline": "none", "reward": "correct", **flags}
        lessons = Rewarded(resolve(TTTSettings, flags=flags))
        groups = [(asked, [sample(i, row) for i, row in enumerate(rows)])]
        lessons.see(groups)
        return lessons.draw(groups, Weights(FakePolicy, FakePolicy, lambda _: FakePolicy())).data

    data = learned()
    assert [d.logprobs for d in data] == [known[1], known[0], known[1]]
    assert [(d.advantages or (0,))[0] > 0 for d in data] == [False, True, True]
    for loss in ("ppo", "cispo"):
        assert [d.logprobs for d in learned(loss=loss)] == [known[0]] * 3, "the learner's are at temperature 1"


@pytest.mark.parametrize("loss", ["ppo", "cispo"])
def test_nothing_is_clipped_before_the_first_update(loss):
    """Sampled at a low temperature; the gradient at unchanged weights is that of the log-probabilities themselves."""
    random = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(64, 50, generator=random)
    plain, cold = torch.log_softmax(logits, -1), torch.log_softmax(logits / 0.25, -1)
    ids = torch.multinomial(cold.exp(), 1, generator=random)
    at = [tuple(p.gather(-1, ids)[:, 0].tolist()) for p in (plain, cold)]
    done = Completion(tuple(ids[:, 0].tolist()), at[0], at[1], (0, 64), "x", "stop", "v1")
    values = [1.0, -1.0] * 32
    now = torch.tensor(at[0], requires_grad=True)
    token_losses(loss, now, [datum([1], done, values, loss)]).sum().backward()
    assert now.grad is not None and now.grad.tolist() == pytest.approx([-v for v in values], abs=1e-6)
