"""What every policy and learner keeps to, whatever serves it: their contracts, run on each backend of `backends`."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, get_args

import pytest
from backends import BACKENDS
from loopback import SDK_LEAK

from longodds.learning import AdamParams, Datum, Learner, Loss
from longodds.types import Completion, Policy, Prompt, SampleKey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from backends import Backend


NAMES = [pytest.param(name, marks=SDK_LEAK) if name == "tinker" else name for name in BACKENDS]


@pytest.fixture(scope="module", params=NAMES)
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with BACKENDS[request.param](tmp_path_factory.mktemp(request.param)) as made:
        yield made


@pytest.fixture(scope="module")
def policy(backend: Backend) -> Iterator[Policy]:
    opened = backend.open()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def drawn(backend: Backend, policy: Policy) -> list[Completion]:
    return policy.sample(backend.prompt, backend.params, key(backend, *range(backend.k)))


def key(backend: Backend, *indices: int) -> SampleKey:
    return SampleKey(backend.seed, backend.task_digest, indices)


def test_it_is_a_policy_and_says_what_it_is(policy: Policy) -> None:
    assert isinstance(policy, Policy)
    assert policy.name
    assert policy.version
    assert policy.parameters > 0


def test_encoding_is_token_ids_and_repeats(backend: Backend, policy: Policy) -> None:
    ids = policy.encode(backend.prompt)
    assert ids
    assert all(type(i) is int and i >= 0 for i in ids)
    assert policy.encode(backend.prompt) == ids


def test_one_completion_per_index_in_order(backend: Backend, policy: Policy, drawn: list[Completion]) -> None:
    assert len(drawn) == backend.k
    assert len({c.token_ids for c in drawn}) > 1
    if backend.deterministic:
        backwards = policy.sample(backend.prompt, backend.params, key(backend, *reversed(range(backend.k))))
        assert [c.token_ids for c in backwards] == [c.token_ids for c in reversed(drawn)]
        some = policy.sample(backend.prompt, backend.params, key(backend, 2, 0))
        assert [c.token_ids for c in some] == [drawn[2].token_ids, drawn[0].token_ids]


def test_no_indices_are_no_work(backend: Backend, policy: Policy) -> None:
    assert policy.sample(backend.prompt, backend.params, key(backend)) == []
    assert policy.compute_logprobs(backend.prompt, []) == []


def test_a_completion_is_whole(backend: Backend, policy: Policy, drawn: list[Completion]) -> None:
    for c in drawn:
        n = len(c.token_ids)
        assert 1 <= n <= backend.params.max_tokens
        assert len(c.logprobs) == len(c.sampling_logprobs) == n
        assert all(math.isfinite(p) and p <= 1e-6 for p in (*c.logprobs, *c.sampling_logprobs))
        start, end = c.score_span
        assert 0 <= start <= end <= n
        assert c.finish_reason in ("stop", "length")
        if c.finish_reason == "length":
            assert n == backend.params.max_tokens
        assert c.policy_version == policy.version


def test_which_characters_a_token_wrote_is_known(backend: Backend, drawn: list[Completion]) -> None:
    if not backend.any_text:
        pytest.skip("a run does not keep it: its score spans are those of the programs already")
    for c in drawn:
        assert len(c.text_ends) == len(c.token_ids)
        assert list(c.text_ends) == sorted(c.text_ends)
        start, end = c.score_span
        assert c.text_ends[end - 1] == len(c.text) if end > start else not c.text


def test_another_policy_on_the_same_weights_gives_the_same_samples(backend: Backend, drawn: list[Completion]) -> None:
    other = backend.open()
    again = other.sample(backend.prompt, backend.params, key(backend, *range(backend.k)))
    other.close()
    assert again[0].policy_version == drawn[0].policy_version
    if backend.deterministic:
        assert [c.token_ids for c in again] == [c.token_ids for c in drawn]
        assert [c.text for c in again] == [c.text for c in drawn]


def test_scores_are_those_of_sampling_at_temperature_one(
    backend: Backend, policy: Policy, drawn: list[Completion]
) -> None:
    scored = policy.compute_logprobs(backend.prompt, [c.token_ids for c in drawn])
    for row, c in zip(scored, drawn, strict=True):
        assert row == pytest.approx(c.logprobs, abs=backend.tolerance)


def test_tempered_log_probabilities_differ_from_plain_ones(backend: Backend, drawn: list[Completion]) -> None:
    assert backend.params.temperature not in (0, 1)
    assert any(abs(a - b) > 1e-3 for c in drawn for a, b in zip(c.logprobs, c.sampling_logprobs, strict=True))


def test_scores_of_text_that_was_not_sampled(backend: Backend, policy: Policy, drawn: list[Completion]) -> None:
    if not backend.any_text:
        pytest.skip("scores only what it has sampled")
    longest = max((c.token_ids for c in drawn), key=len)
    rows = [longest, longest[: len(longest) // 2 + 1], []]
    whole, half, none = policy.compute_logprobs(backend.prompt, rows)
    assert none == []
    assert half == pytest.approx(whole[: len(half)], abs=backend.tolerance)
    turned = policy.compute_logprobs(backend.prompt, [longest[::-1]])[0]
    assert len(turned) == len(longest)
    if longest[::-1] != longest:
        assert turned != pytest.approx(whole, abs=1e-3)


def test_a_stop_pattern_bounds_text_and_score_span(backend: Backend, policy: Policy, drawn: list[Completion]) -> None:
    if not backend.any_text:
        pytest.skip("has only what was asked of it")
    letter = next(ch for c in drawn for ch in c.text[1:] if ch.isascii() and ch.isalnum())
    stopping = dataclasses.replace(backend.prompt, stop_regex=letter)
    stopped = 0
    for c in policy.sample(stopping, backend.params, key(backend, *range(backend.k))):
        assert letter not in c.text
        if c.finish_reason == "stop" and c.score_span[1] < len(c.token_ids):
            stopped += 1
            assert len(c.logprobs) == len(c.token_ids)
    assert stopped


def test_chat_messages_are_another_prompt(backend: Backend, policy: Policy) -> None:
    if not backend.any_text:
        pytest.skip("has only what was asked of it")
    from longodds.types import Message

    text = backend.prompt.text or "".join(m.content for m in backend.prompt.messages or ())
    chat = Prompt(messages=(Message("user", text),))
    assert policy.encode(chat) != policy.encode(Prompt(text=text))


def test_closing_twice_is_harmless(backend: Backend) -> None:
    opened = backend.open()
    opened.close()
    opened.close()


# --- learners ---------------------------------------------------------------------------------------


@pytest.fixture
def learner(backend: Backend) -> Iterator[Learner]:
    if backend.learner is None:
        pytest.skip("can't be trained")
    opened = backend.learner()
    yield opened
    opened.close()


def learning_data(backend: Backend, policy: Policy, drawn: list[Completion]) -> list[Datum]:
    """What was sampled, with advantages of both signs that differ from token to token."""
    prompt = tuple(policy.encode(backend.prompt))
    return [
        Datum(
            prompt,
            c.token_ids,
            weights=tuple(1.0 for _ in c.token_ids),
            logprobs=c.sampling_logprobs,
            advantages=tuple((-1) ** i * (1 + 0.1 * j) for j in range(len(c.token_ids))),
        )
        for i, c in enumerate(drawn)
    ]


def test_it_is_a_learner(learner: Learner) -> None:
    assert isinstance(learner, Learner)
    assert learner.parameters > 0
    assert learner.version


@pytest.mark.parametrize("loss", get_args(Loss))
def test_losses_are_sums_over_tokens(
    backend: Backend, policy: Policy, learner: Learner, drawn: list[Completion], loss: Loss
) -> None:
    """Written out from the log-probabilities that the untrained learner's own snapshot gives."""
    data = learning_data(backend, policy, drawn)
    now = learner.snapshot().compute_logprobs(backend.prompt, [d.token_ids for d in data])
    done = learner.forward_backward(data, loss)
    total = 0.0
    for d, row, got in zip(data, now, done.logprobs, strict=True):
        assert got == pytest.approx(row, abs=backend.tolerance)
        for p, q, a in zip(row, d.logprobs or (), d.advantages or (), strict=True):
            r = math.exp(p - q)
            clipped = min(max(r, 0.8), 1.2)
            total += {
                "cross_entropy": -p,
                "importance_sampling": -r * a,
                "ppo": -min(r * a, clipped * a),
                "cispo": -clipped * a * p,
            }[loss]
    assert done.loss == pytest.approx(total, rel=1e-3, abs=1e-2)


def test_a_step_moves_probabilities_the_right_way_and_snapshots_stay(
    backend: Backend, policy: Policy, learner: Learner, drawn: list[Completion]
) -> None:
    before = learner.snapshot()
    rows = [c.token_ids for c in drawn]
    start = before.compute_logprobs(backend.prompt, rows)
    data = learning_data(backend, policy, drawn)
    steps = learner.steps
    assert learner.train_step(data, "cross_entropy", AdamParams(learning_rate=1e-3)).metrics.get("grad_norm", 1) > 0
    assert learner.steps == steps + 1
    after = learner.snapshot()
    assert after.version == learner.version != before.version
    moved = after.compute_logprobs(backend.prompt, rows)
    assert sum(map(sum, moved)) > sum(map(sum, start))
    for row, again in zip(start, before.compute_logprobs(backend.prompt, rows), strict=True):
        assert again == pytest.approx(row, abs=backend.tolerance)
    fresh = after.sample(backend.prompt, backend.params, key(backend, 0))
    assert fresh[0].policy_version == after.version


def test_a_saved_state_gives_the_same_next_step(
    backend: Backend, policy: Policy, learner: Learner, drawn: list[Completion], tmp_path: Path
) -> None:
    data = learning_data(backend, policy, drawn)
    adam = AdamParams(learning_rate=1e-3)
    for _ in range(2):
        learner.train_step(data, "importance_sampling", adam)
    learner.save_state(tmp_path / "state")
    assert backend.learner is not None
    other = backend.learner()
    other.load_state(tmp_path / "state")
    losses = [[x.train_step(data, "importance_sampling", adam).loss for _ in range(2)] for x in (learner, other)]
    other.close()
    assert losses[0] == pytest.approx(losses[1], abs=backend.tolerance)
