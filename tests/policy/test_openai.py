"""`openai:` against the loopback server: modes of log-probabilities, K, scoring, LoRA hot-swap, faults, mistakes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from loopback_openai import LoopbackOpenAI
from reference_model import ReferenceModel
from tiny_models import make_adapter, save_llama

from longodds.errors import InfraError, UserError
from longodds.policy import OpenOptions, open_policy
from longodds.policy.openai_lora import HotSwapLearner
from longodds.policy.openai_policy import OpenAIPolicy
from longodds.policy.openai_server import OpenAIServer
from longodds.policy.probe import MAX_PROBE_TOKENS
from longodds.policy.vocabularies import open_vocabulary
from longodds.types import Message, Policy, Prompt, SampleKey, SamplingParams

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

SPEC = "openai:tiny-1m"
PROMPT = Prompt(text="def forward(self, x):\n       ")
CHAT = Prompt(messages=(Message("user", "hi"),))
KEY = SampleKey(0, "task", (0, 1, 2))
PARAMS = SamplingParams(temperature=0.8, max_tokens=8)
SECRET = "sk-very-secret"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("openai"))


@pytest.fixture(scope="module")
def reference(directory: Path) -> ReferenceModel:
    return ReferenceModel(directory)


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)


def opened(server: LoopbackOpenAI, tokenizer: Path | None = None) -> Any:
    return open_policy(SPEC, OpenOptions(base_url=f"{server.url}/v1", tokenizer=tokenizer and str(tokenizer)))


# --- log-probabilities ---------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.25, 0.8, 1.0])
@pytest.mark.parametrize(
    ("mode", "scores"), [("raw", "prompt_logprobs"), ("tempered", "echo"), ("top-p", "prompt_logprobs")]
)
def test_the_probe_is_right_and_what_is_kept_is_at_temperature_one(
    reference: ReferenceModel, mode: str, scores: str, temperature: float
) -> None:
    with LoopbackOpenAI(reference, mode=mode, scores=scores) as server:
        policy = opened(server)
        assert isinstance(policy, Policy)
        params = SamplingParams(temperature, 8, 0.9)
        found = policy.prepare(params)
        assert (found.mode, found.rescoring) == (mode, True)
        assert found.tokens <= MAX_PROBE_TOKENS
        assert server.spent <= MAX_PROBE_TOKENS / 2 + 4, "half of them are scored, not sampled"
        for prompt in (PROMPT, CHAT):
            ids = policy.encode(prompt)
            for c in policy.sample(prompt, params, KEY):
                plain = reference.score([*ids, *c.token_ids])[len(ids) :]
                assert c.logprobs == pytest.approx(plain, abs=1e-4)
                assert bool(c.returned_logprobs) == (mode != "raw")
                assert bool(c.sampling_logprobs) == (mode == "top-p")
        policy.close()


def test_tempered_log_probabilities_that_cannot_be_scored_again_give_no_surprisal(reference: ReferenceModel) -> None:
    with LoopbackOpenAI(reference, mode="tempered", scores=None) as server:
        policy = opened(server)
        for c in policy.sample(PROMPT, PARAMS, KEY):
            assert (c.logprobs, len(c.returned_logprobs)) == ((), len(c.token_ids))
            assert c.sampling_logprobs == c.returned_logprobs
        assert any("no surprisal" in note for note in policy.notes)
        with pytest.raises(UserError, match="cannot score"):
            policy.compute_logprobs(PROMPT, [[1, 2]])
        policy.close()


def test_a_server_without_log_probabilities_is_refused_with_the_reason(reference: ReferenceModel) -> None:
    with LoopbackOpenAI(reference, mode="none") as server:
        policy = opened(server)
        with pytest.raises(UserError, match="no token log-probabilities"):
            policy.prepare(PARAMS)
        policy.close()


def test_a_plain_server_needs_no_token_ids(reference: ReferenceModel, directory: Path) -> None:
    with LoopbackOpenAI(reference, tokenizes=False, scores=None, many=False, end_in_tokens=False) as server:
        policy = opened(server)
        ids = policy.encode(PROMPT)
        assert set(ids) == {-1}
        assert len(ids) == len(reference.tokenizer(PROMPT.text)["input_ids"]), "their number is known"
        drawn = policy.sample(PROMPT, PARAMS, KEY)
        assert all(set(c.token_ids) <= {-1} and len(c.logprobs) == len(c.token_ids) for c in drawn)
        policy.close()
        named = opened(server, directory)
        ids = named.encode(PROMPT)
        again = named.sample(PROMPT, PARAMS, KEY)
        assert [c.text for c in again] == [c.text for c in drawn], "equal seeds, one request each"
        known = [c for c in again if -1 not in c.token_ids]
        for c in known:
            assert c.logprobs == pytest.approx(reference.score([*ids, *c.token_ids])[len(ids) :], abs=1e-4)
        named.close()


@pytest.mark.parametrize("owner", ["vllm", "sglang", "llamacpp", "openai"])
def test_servers_that_fill_in_what_is_left_out_are_asked_for_the_whole_distribution(
    reference: ReferenceModel, owner: str
) -> None:
    with LoopbackOpenAI(reference, owner=owner) as server:
        policy = opened(server)
        policy.sample(PROMPT, PARAMS, KEY)
        policy.sample(CHAT, PARAMS, KEY)
        # Of sampling, the probe's included; scoring samples nothing that is kept.
        asked = [b for p, b in server.bodies if p.endswith("/completions") and "prompt_logprobs" not in b]
        assert len(asked) > 4
        fields = ("top_k", "min_p", "repetition_penalty")
        sent = {tuple(b.get(f) for f in fields) for b in asked}
        assert sent == {(-1, 0, 1) if owner in ("vllm", "sglang") else (None, None, None)}
        policy.close()


# --- K, concurrency, forms -----------------------------------------------------------------------


def test_k_by_n_or_side_by_side_within_bounds(reference: ReferenceModel) -> None:
    key = SampleKey(0, "many", tuple(range(12)))
    with LoopbackOpenAI(reference) as server:
        policy = opened(server)
        policy.prepare(PARAMS)
        server.bodies.clear()
        assert len(policy.sample(PROMPT, PARAMS, key)) == 12
        assert [b["n"] for p, b in server.bodies if p == "/v1/completions"] == [12]
        policy.close()
    with LoopbackOpenAI(reference, many=False) as server:
        policy = opened(server)
        policy.prepare(PARAMS)
        server.seconds = 0.05
        drawn = policy.sample(PROMPT, PARAMS, key)
        assert len({c.token_ids for c in drawn}) > 6
        assert 2 <= server.busiest <= 8
        server.bodies.clear()
        some = policy.sample(PROMPT, PARAMS, SampleKey(0, "many", (11, 3)))
        assert [c.token_ids for c in some] == [drawn[11].token_ids, drawn[3].token_ids], "each has its own seed"
        assert all(b["n"] == 1 for p, b in server.bodies if p == "/v1/completions"), "it has learned"
        policy.close()


def test_a_server_of_one_form_says_which(reference: ReferenceModel) -> None:
    with LoopbackOpenAI(reference, forms=("chat",), scores=None) as server:
        policy = opened(server)
        assert policy.prepare(PARAMS).mode == "raw"
        assert len(policy.sample(CHAT, PARAMS, KEY)) == 3
        with pytest.raises(UserError, match="--form chat"):
            policy.sample(PROMPT, PARAMS, KEY)
        policy.close()


def test_what_a_chat_model_thinks_is_outside_the_span(reference: ReferenceModel) -> None:
    with LoopbackOpenAI(reference) as server:
        policy = opened(server)
        policy.prepare(PARAMS)
        server.thinks = "hmm"
        for c in policy.sample(CHAT, PARAMS, KEY):
            assert not c.text.startswith("hmm")
            assert c.score_span[0] == 3 or not c.text
        policy.close()


# --- faults and mistakes -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [429, 500, 503, "drop", "half"])
def test_a_server_that_stumbles_loses_nothing(reference: ReferenceModel, kind: int | str) -> None:
    with LoopbackOpenAI(reference) as server:
        policy = opened(server)
        want = policy.sample(PROMPT, PARAMS, KEY)
        server.faults.add("completions", kind, times=2)
        assert policy.sample(PROMPT, PARAMS, KEY) == want
        assert len(server.faults.hits) == 2
        policy.close()


def test_patience_ends(reference: ReferenceModel) -> None:
    with LoopbackOpenAI(reference) as server:
        policy = OpenAIPolicy(SPEC, OpenAIServer(SPEC, f"{server.url}/v1", None, "tiny-1m", patience=1.0))
        policy.prepare(PARAMS)
        server.faults.add("completions", 503, times=99)
        began = time.monotonic()
        with pytest.raises(InfraError, match="503"):
            policy.sample(PROMPT, PARAMS, KEY)
        assert time.monotonic() - began < 20
        server.stop()
        with pytest.raises(InfraError, match="cannot be reached"):
            policy.sample(PROMPT, PARAMS, KEY)
        policy.close()


def fails(url: str | None, spec: str = SPEC) -> tuple[type[Exception], str]:
    with pytest.raises((UserError, InfraError)) as caught:
        open_policy(spec, OpenOptions(base_url=url))
    text = str(caught.value)
    assert "\n" not in text
    assert SECRET not in text
    return caught.type, text


def test_mistakes_are_one_line(reference: ReferenceModel, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, text = fails("http://127.0.0.1:9/v1")
    assert (kind, "cannot be reached" in text) == (InfraError, True)
    kind, text = fails(None)
    assert (kind, "OPENAI_API_KEY is not set" in text) == (UserError, True)
    with LoopbackOpenAI(reference, accept="sk-right") as server:
        _, text = fails(f"{server.url}/v1")
        assert "wants a key" in text
        monkeypatch.setenv("OPENAI_API_KEY", SECRET)
        _, text = fails(f"{server.url}/v1")
        assert "401" in text
        assert "[key]" in text, "the server echoed it"
        monkeypatch.setenv("OPENAI_API_KEY", "sk-right")
        _, text = fails(f"{server.url}/v1", "openai:tinny-1m")
        assert "did you mean 'tiny-1m'" in text
        kind, text = fails(server.url)
        assert kind is UserError
        assert f"its address is {server.url}/v1" in text


def test_a_prompt_beyond_the_context_is_the_callers_mistake(reference: ReferenceModel) -> None:
    with LoopbackOpenAI(reference) as server:
        policy = opened(server)
        policy.prepare(PARAMS)
        with pytest.raises(UserError, match="context length is 512"):
            policy.sample(Prompt(text="x" * 510), PARAMS, KEY)
        policy.close()


# --- hot-swap ------------------------------------------------------------------------------------


class SavedAdapters:
    """A learner whose states are adapters made beforehand, to see what the server is asked to load."""

    name, parameters, steps = "hf:x", 1, 0

    def __init__(self, base: Path) -> None:
        self._base = base
        self.closed = False

    @property
    def version(self) -> str:
        return f"v{self.steps}"

    def save_state(self, directory: Path) -> None:
        make_adapter(self._base, directory, seed=self.steps)

    def close(self) -> None:
        self.closed = True


def test_snapshots_are_swapped_in_and_old_ones_out(reference: ReferenceModel, directory: Path, tmp_path: Path) -> None:
    with LoopbackOpenAI(reference) as server:
        connection = OpenAIServer(SPEC, f"{server.url}/v1", None, "tiny-1m")
        inner: Any = SavedAdapters(directory)
        vocabulary = open_vocabulary(SPEC, "tiny-1m", str(directory))
        learner = HotSwapLearner(inner, connection, tmp_path, vocabulary=vocabulary, keep=2)
        scores = []
        for step in range(3):
            inner.steps = step
            policy = learner.snapshot()
            assert policy.version == learner.version == f"v{step}"
            assert policy.sample(PROMPT, PARAMS, KEY)[0].policy_version == f"v{step}"
            (row,) = policy.compute_logprobs(PROMPT, [[3, 1, 4]])
            ids = policy.encode(PROMPT)
            weights = reference.adapter(start=tmp_path / f"longodds-v{step}").eval()
            assert row == pytest.approx(reference.score([*ids, 3, 1, 4], weights)[len(ids) :], abs=1e-4)
            scores.append(row)
        assert scores[0] != pytest.approx(scores[1], abs=1e-3)
        assert sorted(server.adapters) == ["longodds-v1", "longodds-v2"], "the oldest was unloaded"
        learner.snapshot()
        learner.close()
        assert not server.adapters
        assert inner.closed
