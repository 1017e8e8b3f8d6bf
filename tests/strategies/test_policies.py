"""Runs as policies: what `replay:` refuses to make up, and which checkpoint `run:` is."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from run_fakes import FakeEvaluator, FakePolicy, make_tasks

from longodds.config import BestOfNSettings, resolve
from longodds.errors import UserError
from longodds.store import CheckpointRow, RunDir
from longodds.strategies.best_of_n import best_of_n
from longodds.strategies.policies import open_learner, open_policy
from longodds.types import Prompt, SampleKey, SamplingParams

sys.path.append(str(Path(__file__).parents[1] / "policy"))

TASKS = make_tasks(3)


def run(path, model, **flags):
    s = resolve(BestOfNSettings, flags={"suite": "fake", "k": 6, "seeds": [0, 1], "max_tokens": 32, **flags})
    return best_of_n(path, s, policy=model, evaluator=FakeEvaluator(), tasks=TASKS)


def stored(path) -> list[tuple]:
    return [(s.sample_id, s.completion, s.program_digest) for s in RunDir.open(path).samples()]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "first"
    assert run(path, FakePolicy()).complete
    return path


def test_a_replayed_run_has_the_same_samples(finished, tmp_path):
    policy = open_policy(f"replay:{finished}")
    assert (policy.version, policy.parameters) == ("v1", 1000)
    outcome = run(tmp_path / "again", policy, policy=f"replay:{finished}", batch_size=4)
    assert outcome.complete
    assert sorted(stored(tmp_path / "again")) == sorted(stored(finished))
    fewer = run(tmp_path / "fewer", policy, k=3)
    assert fewer.complete
    assert fewer.samples == 18


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"k": 7}, "has no sample 6"),
        ({"seeds": [5]}, "none of that seed"),
        ({"temperature": 0.5}, "temperature 0.8, not 0.5"),
        ({"max_tokens": 8}, "max_tokens 32, not 8"),
    ],
)
def test_what_the_run_lacks_is_refused_with_a_remedy(finished, tmp_path, flags, says):
    with pytest.raises(UserError, match=says) as caught:
        run(tmp_path / "a", open_policy(f"replay:{finished}"), **flags)
    assert "\n" not in str(caught.value)


def test_other_prompts_and_unknown_tokens_are_refused(finished):
    policy = open_policy(f"replay:{finished}")
    known = next(r.prompt for r in RunDir.open(finished).records().values())
    assert known is not None
    with pytest.raises(UserError, match="not asked this prompt"):
        policy.encode(Prompt(text="something else"))
    with pytest.raises(UserError, match="another task"):
        policy.sample(known, SamplingParams(max_tokens=32), SampleKey(0, "other", (0,)))
    with pytest.raises(UserError, match="did not sample"):
        policy.compute_logprobs(known, [(99, 98)])


def test_runs_that_are_none_or_hold_nothing(tmp_path):
    with pytest.raises(UserError, match="no such run"):
        open_policy(f"replay:{tmp_path / 'nowhere'}")
    with pytest.raises(UserError, match="no such run"):
        open_policy(f"run:{tmp_path / 'nowhere'}")
    RunDir.create_or_resume(tmp_path / "empty", {}, {}).close()
    with pytest.raises(UserError, match="does not say how"):
        open_policy(f"replay:{tmp_path / 'empty'}")
    with pytest.raises(UserError, match="made no checkpoint"):
        open_policy(f"run:{tmp_path / 'empty'}")


def test_checkpoints_by_step(tmp_path):
    from tiny_models import save_llama

    from longodds.learning import AdamParams, Datum
    from longodds.policy import LoraOptions, OpenOptions

    options = OpenOptions(dtype="fp32", threads=1)
    base = f"hf:{save_llama(tmp_path / 'model')}"
    learner = open_learner(base, options, LoraOptions(rank=2))
    data, adam = [Datum((1, 2, 3), (4, 5, 6))], AdamParams(learning_rate=0.02)
    versions = []
    with RunDir.create_or_resume(tmp_path / "run", {}, {}) as held:
        for step in (1, 2, 3):
            done = learner.train_step(data, "cross_entropy", adam)
            learner.save_state(held.path / f"checkpoints/{step}")
            metrics = {"loss": done.loss}
            held.append_checkpoint(
                CheckpointRow(step, f"checkpoints/{step}", "adapter", base, learner.version, metrics=metrics)
            )
            versions.append(learner.version)
    rows = RunDir.open(tmp_path / "run").checkpoints()
    assert [r.policy_version for r in rows] == versions
    assert rows[2].metrics["loss"] < rows[0].metrics["loss"]
    opened: list[Any] = [open_policy(f"run:{tmp_path / 'run'}{at}", options) for at in ("@1", "@2", "")]
    assert [p.version for p in opened] == versions
    assert opened[0].name == f"run:{tmp_path / 'run'}@1"
    # training goes on where it stopped: the second step from the first checkpoint is the second step
    again = open_learner(f"run:{tmp_path / 'run'}@1", options)
    assert again.steps == 1
    again.train_step(data, "cross_entropy", adam)
    assert again.version == versions[1]
    # or begins anew from its weights, for other data than the checkpoint's
    fresh = open_learner(f"run:{tmp_path / 'run'}@2", options, optimizer=False)
    assert (fresh.steps, fresh.version) == (0, versions[1])
    fresh.train_step(data, "cross_entropy", adam)
    plain = open_learner(f"{base}+adapter={tmp_path / 'run/checkpoints/2'}", options)
    plain.train_step(data, "cross_entropy", adam)
    assert fresh.version == plain.version != versions[2]
    with pytest.raises(UserError, match="no checkpoint of step 7; it has 1, 2, 3"):
        open_policy(f"run:{tmp_path / 'run'}@7", options)
    (tmp_path / "run/checkpoints/2/adapter_config.json").unlink()
    with pytest.raises(UserError, match="files are gone"):
        open_policy(f"run:{tmp_path / 'run'}@2", options)
    path = tmp_path / "run/checkpoints.jsonl"
    path.write_text(path.read_text() + json.dumps({"step": 4, "path": "x"}) + "\n")
    with pytest.raises(UserError, match=r"checkpoints\.jsonl: a row lacks the field 'kind'"):
        open_policy(f"run:{tmp_path / 'run'}", options)
