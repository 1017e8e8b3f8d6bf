"""`tinker:` with the real SDK against the loopback service: sampling, scoring, learning, faults, and every mistake as
one line."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from loopback import SDK_LEAK
from loopback_tinker import LoopbackTinker
from reference_model import ReferenceModel
from tiny_models import save_llama

from longodds.errors import InfraError, UserError
from longodds.learning import AdamParams, Datum, Learner
from longodds.policy import LoraOptions, OpenOptions, open_learner, open_policy
from longodds.policy.tinker_learner import loss_of
from longodds.store import CheckpointRow, RunDir
from longodds.store.checkpoints import checkpoint_folder
from longodds.strategies.policies import open_learner as open_learner_of_run
from longodds.types import Message, Policy, Prompt, SampleKey, SamplingParams

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    SDK_LEAK,
]

SPEC = "tinker:tiny/llama-1m"
PROMPT = Prompt(text="def forward(self, x):\n       ")
KEY = SampleKey(0, "task", (0, 1, 2))
PARAMS = SamplingParams(temperature=0.8, max_tokens=8)
SECRET = "tml-test"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("tinker"))


@pytest.fixture(scope="module")
def reference(directory: Path) -> ReferenceModel:
    return ReferenceModel(directory)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TINKER_API_KEY", SECRET)
    monkeypatch.delenv("TINKER_BASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def service(reference: ReferenceModel) -> Iterator[LoopbackTinker]:
    with LoopbackTinker(reference, mode="tempered") as running:
        yield running


def options(service: LoopbackTinker, directory: Path) -> OpenOptions:
    return OpenOptions(base_url=service.url, tokenizer=str(directory))


# --- sampling and scoring ------------------------------------------------------------------------


def test_samples_and_their_log_probabilities(
    service: LoopbackTinker, directory: Path, reference: ReferenceModel
) -> None:
    policy: Any = open_policy(SPEC, options(service, directory))
    assert isinstance(policy, Policy)
    drawn = policy.sample(PROMPT, PARAMS, KEY)
    ids = policy.encode(PROMPT)
    assert (policy.logprob_mode.mode, policy.logprob_mode.rescoring) == ("tempered", True)
    assert len(drawn) == 3
    for c in drawn:
        plain = reference.score([*ids, *c.token_ids])[len(ids) :]
        assert c.logprobs == pytest.approx(plain, abs=1e-4), "scored again at temperature 1"
        assert c.sampling_logprobs == c.returned_logprobs != c.logprobs
        assert c.policy_version == policy.version
    assert [c.token_ids for c in policy.sample(PROMPT, PARAMS, KEY)] == [c.token_ids for c in drawn]
    request = next(r for _, r in reversed(service.bodies) if r["num_samples"] == 3)
    assert request["sampling_params"]["temperature"] == 0.8
    assert request["sampling_params"]["seed"] is not None
    chat = Prompt(messages=(Message("user", "hi"),))
    assert len(policy.sample(chat, PARAMS, KEY)) == 3
    policy.close()
    policy.close()


def test_a_raw_service_leaves_the_sampled_distribution_unknown(reference: ReferenceModel, directory: Path) -> None:
    with LoopbackTinker(reference, mode="raw", compress=True) as service:
        policy = open_policy(SPEC, options(service, directory))
        (c,) = policy.sample(PROMPT, PARAMS, SampleKey(0, "t", (5,)))
        assert c.logprobs and not c.returned_logprobs and not c.sampling_logprobs
        (c,) = policy.sample(PROMPT, SamplingParams(1.0, 8), SampleKey(0, "t", (5,)))
        assert c.logprobs == c.sampling_logprobs
        policy.close()


def test_a_service_without_log_probabilities_is_refused(reference: ReferenceModel, directory: Path) -> None:
    with LoopbackTinker(reference, mode="none") as service:
        policy = open_policy(SPEC, options(service, directory))
        with pytest.raises(UserError, match="no log-probabilities"):
            policy.sample(PROMPT, PARAMS, KEY)
        policy.close()


# --- mistakes ------------------------------------------------------------------------------------


def fails(spec: str, opened_with: OpenOptions) -> tuple[type[Exception], str, float]:
    began = time.monotonic()
    with pytest.raises((UserError, InfraError)) as caught:
        open_policy(spec, opened_with)
    text = str(caught.value)
    assert "\n" not in text
    assert SECRET not in text
    return caught.type, text, time.monotonic() - began


def test_an_unreachable_service_fails_in_seconds(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINKER_BASE_URL", "http://127.0.0.1:9")
    kind, text, seconds = fails(SPEC, OpenOptions(tokenizer=str(directory)))
    assert kind is InfraError
    assert "http://127.0.0.1:9" in text, "TINKER_BASE_URL counts"
    assert "cannot be reached" in text
    assert seconds < 30


@pytest.mark.parametrize(
    ("status", "says"), [(401, "401"), (402, "no credit or billing"), (403, "403"), (404, "no Tinker service")]
)
def test_refusals_are_one_line(service: LoopbackTinker, directory: Path, status: int, says: str) -> None:
    service.status = status
    kind, text, _ = fails(SPEC, options(service, directory))
    assert kind is UserError
    assert says in text


def test_a_key_that_is_echoed_is_not_shown(
    service: LoopbackTinker, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINKER_API_KEY", "tml-wrong-and-echoed")
    kind, text, _ = fails(SPEC, options(service, directory))
    assert kind is UserError
    assert "[key]" in text
    assert "wrong-and-echoed" not in text


def test_models_and_paths_that_are_not_there(service: LoopbackTinker, directory: Path) -> None:
    _, text, _ = fails("tinker:tiny/lama-1m", options(service, directory))
    assert "did you mean 'tiny/llama-1m'" in text
    kind, text, _ = fails("tinker://nobody/sampler_weights/x", options(service, directory))
    assert kind is not InfraError
    assert "404" in text


def test_prompts_beyond_the_context_are_refused(service: LoopbackTinker, directory: Path) -> None:
    policy = open_policy(SPEC, options(service, directory))
    with pytest.raises(UserError, match="its context is 512"):
        policy.sample(Prompt(text="x" * 510), PARAMS, KEY)
    policy.close()


# --- faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [429, 500, "drop", "half"])
@pytest.mark.parametrize("route", ["asample", "retrieve_future"])
def test_a_service_that_stumbles_loses_nothing(
    service: LoopbackTinker, directory: Path, kind: int | str, route: str
) -> None:
    policy = open_policy(SPEC, options(service, directory))
    want = policy.sample(PROMPT, PARAMS, KEY)
    service.faults.add(route, kind, times=1)
    assert policy.sample(PROMPT, PARAMS, KEY) == want
    assert service.faults.hits
    policy.close()


def test_a_slow_service_is_waited_for(service: LoopbackTinker, directory: Path) -> None:
    policy = open_policy(SPEC, options(service, directory))
    policy.sample(PROMPT, PARAMS, KEY)
    service.seconds = 1.5
    assert len(policy.sample(PROMPT, PARAMS, KEY)) == 3
    policy.close()


def test_a_restart_that_forgets_sessions_is_survived(service: LoopbackTinker, directory: Path) -> None:
    policy = open_policy(SPEC, options(service, directory))
    want = policy.sample(PROMPT, PARAMS, KEY)
    service.stop()
    service.forget()
    service.start()
    assert policy.sample(PROMPT, PARAMS, KEY) == want
    policy.close()


# --- learning ------------------------------------------------------------------------------------


def data_for(policy: Policy, loss: str, count: int = 3) -> list[Datum]:
    drawn = policy.sample(PROMPT, SamplingParams(1.0, 6), SampleKey(7, "learn", tuple(range(count))))
    ids = tuple(policy.encode(PROMPT))
    rows = []
    for i, c in enumerate(drawn):
        n = len(c.token_ids)
        advantages = tuple(1.0 - 0.7 * i + 0.1 * j for j in range(n))
        if loss == "cross_entropy":
            rows.append(Datum(ids, c.token_ids, weights=advantages))
        else:
            rows.append(Datum(ids, c.token_ids, logprobs=c.sampling_logprobs, advantages=advantages))
    return rows


def test_the_learner_learns_snapshots_and_resumes(service: LoopbackTinker, directory: Path, tmp_path: Path) -> None:
    learner: Any = open_learner(SPEC, options(service, directory), LoraOptions(rank=4))
    assert isinstance(learner, Learner)
    before = learner.snapshot()
    data = data_for(before, "importance_sampling")
    row = [data[0].token_ids]
    adam = AdamParams(learning_rate=1e-2)
    first = learner.train_step(data, "importance_sampling", adam)
    assert first.metrics["grad_norm"] > 0
    assert first.loss == pytest.approx(
        sum(loss_of(d, p, "importance_sampling", None) for d, p in zip(data, first.logprobs, strict=True)), abs=1e-3
    )
    after = learner.snapshot()
    assert learner.steps == 1
    assert after.version == learner.version != before.version
    then = after.compute_logprobs(PROMPT, row)[0]
    assert then != pytest.approx(before.compute_logprobs(PROMPT, row)[0], abs=1e-3)
    learner.save_state(tmp_path / "state")
    learner.forward_backward(data, "importance_sampling")
    learner.optim_step(adam)
    second = learner.train_step(data, "importance_sampling", adam)
    assert after.compute_logprobs(PROMPT, row)[0] == pytest.approx(then, abs=1e-6), "a snapshot does not move"
    learner.load_state(tmp_path / "state")
    assert (learner.steps, learner.version) == (1, after.version)
    learner.train_step(data, "importance_sampling", adam)
    again = learner.train_step(data, "importance_sampling", adam)
    assert again.loss == pytest.approx(second.loss, rel=1e-5), "the optimiser's moments were saved too"
    saved = open_policy(after.path, options(service, directory))
    assert (saved.version, saved.compute_logprobs(PROMPT, row)[0]) == (after.version, pytest.approx(then, abs=1e-6))
    with pytest.raises(UserError, match="no state"):
        learner.load_state(tmp_path)
    learner.close()


def test_a_run_is_trained_from_its_state_not_from_its_sampler_weights(
    service: LoopbackTinker, directory: Path, tmp_path: Path
) -> None:
    learner: Any = open_learner(SPEC, options(service, directory), LoraOptions(rank=4))
    data = data_for(learner.snapshot(), "importance_sampling")
    adam = AdamParams(learning_rate=1e-2)
    with RunDir.create_or_resume(tmp_path / "run", {}, {}) as run:
        for step in (1, 2):
            learner.train_step(data, "importance_sampling", adam)
            learner.save_state(run.path / checkpoint_folder(step))
            path = learner.snapshot().path
            run.append_checkpoint(CheckpointRow(step, path, "tinker", SPEC, learner.version))
    learner.train_step(data, "importance_sampling", adam)
    spec = f"run:{tmp_path / 'run'}"
    now: dict[bool, list[float]] = {}
    for kept in (True, False):
        other: Any = open_learner_of_run(spec, options(service, directory), optimizer=kept)
        assert other.version == run.checkpoints()[-1].policy_version
        assert other.steps == (2 if kept else 0)
        other.train_step(data, "importance_sampling", adam)
        now[kept] = other.snapshot().compute_logprobs(PROMPT, [data[0].token_ids])[0]
        other.close()
    assert now[True] == pytest.approx(learner.snapshot().compute_logprobs(PROMPT, [data[0].token_ids])[0], abs=1e-5), (
        "as if it had gone on"
    )
    assert now[False] != pytest.approx(now[True], abs=1e-4), "a new optimiser takes another step"
    learner.close()


def test_gradient_and_step_are_submitted_before_either_is_waited_for(service: LoopbackTinker, directory: Path) -> None:
    learner = open_learner(SPEC, options(service, directory), LoraOptions(rank=4))
    data = data_for(learner.snapshot(), "cross_entropy")
    service.requests.clear()
    learner.train_step(data, "cross_entropy")
    routes = [p.removeprefix("/api/v1/") for _, p in service.requests]
    submitted = [r for r in routes if r in ("forward_backward", "optim_step", "retrieve_future")]
    assert submitted.index("optim_step") <= 2, submitted
    learner.close()


def test_a_step_that_was_lost_is_not_taken_for_done(service: LoopbackTinker, directory: Path, tmp_path: Path) -> None:
    learner = open_learner(SPEC, options(service, directory), LoraOptions(rank=4))
    data = data_for(learner.snapshot(), "cross_entropy")
    learner.save_state(tmp_path / "state")
    service.faults.add("forward_backward", 404)
    with pytest.raises((InfraError, UserError)):
        learner.train_step(data, "cross_entropy")
    with pytest.raises(InfraError, match="saved state"):
        learner.train_step(data, "cross_entropy")
    learner.load_state(tmp_path / "state")
    learner.train_step(data, "cross_entropy")
    assert learner.steps == 1
    learner.close()
