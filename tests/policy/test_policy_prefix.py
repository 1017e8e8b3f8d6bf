"""The shared prompt: kept once, exact for many architectures, and given up where it would be wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
import transformers

from longodds.policy.cascade import ATTENTION_NAME, CascadeCache, register_cascade_attention
from longodds.policy.prefix import SharedPrefixModel, can_share
from longodds.types import Prompt, SampleKey, SamplingParams

if TYPE_CHECKING:
    from longodds.policy.hf import HFPolicy

SMALL: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 24}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "Llama": {},
    "Qwen2": {},
    "Qwen3": {},
    "Mistral": {"sliding_window": 5},
    "Gemma2": {"sliding_window": 5, "query_pre_attn_scalar": 8, "attn_logit_softcapping": 2.0},
    "Gemma3Text": {"sliding_window": 5, "query_pre_attn_scalar": 8},
    "GptOss": {"sliding_window": 5, "num_local_experts": 4, "num_experts_per_tok": 2},
    "Qwen3Moe": {"num_experts": 4, **EXPERTS},
    "Phi3": {},
}
PROMPT, ROWS, NEW = 17, 5, 9


def make(name: str, extra: dict[str, Any]) -> tuple[Any, Any]:
    """The same random model twice: with eager attention, and ready for a shared prompt."""
    register_cascade_attention()
    config = getattr(transformers, f"{name}Config")(**SMALL, **extra)
    config._attn_implementation = "eager"
    torch.manual_seed(0)
    short = name.removesuffix("Text")
    model = getattr(transformers, f"{short}ForCausalLM")(config).eval().float()
    with torch.no_grad():
        for p in model.parameters():  # biases, norms and sinks start at constants that hide mistakes
            p.add_(0.05 * torch.randn_like(p))
    import copy

    other = copy.deepcopy(model)
    other.set_attn_implementation(ATTENTION_NAME if can_share(other) else "sdpa")
    return model, other


def difference(plain: Any, model: SharedPrefixModel) -> float:
    """Largest logit error against one plain pass per row, with rows leaving and with several tokens at once."""
    torch.manual_seed(1)
    prompt = torch.randint(3, 97, (1, PROMPT))
    new = torch.randint(3, 97, (ROWS, NEW))
    with torch.no_grad():
        full = plain(input_ids=torch.cat([prompt.expand(ROWS, -1), new], dim=1)).logits
        state = model.prefill(prompt)
        worst = (state.logits[0] - full[0, PROMPT - 1]).abs().max()
        block = model.step(model.rows(state, ROWS), new)
        worst = torch.maximum(worst, (block - full[:, PROMPT:]).abs().max())
        rows, alive = model.rows(state, ROWS), torch.arange(ROWS)
        for i in range(NEW):
            step = model.step(rows, new[alive, i : i + 1])[:, 0]
            worst = torch.maximum(worst, (step - full[alive, PROMPT + i]).abs().max())
            if i in (2, 5):
                stay = torch.tensor([0, 2, 3]) if i == 2 else torch.tensor([2])
                rows.keep(stay)
                alive = alive[stay]
    return float(worst)


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_shared_prompt_is_exact(name: str) -> None:
    plain, other = make(name, ARCHITECTURES[name])
    assert can_share(other)
    model = SharedPrefixModel(other, shared=True)
    assert difference(plain, model) < 1e-4
    assert model.shared


@pytest.mark.parametrize("name", ["Llama", "Mistral"])
def test_copied_prompt_is_exact(name: str) -> None:
    plain, other = make(name, ARCHITECTURES[name])
    other.set_attn_implementation("sdpa")
    assert difference(plain, SharedPrefixModel(other, shared=False)) < 1e-4


def test_recurrent_layers_fall_back_to_copies() -> None:
    kinds = ["linear_attention", "full_attention"]
    extra = {
        "layer_types": kinds,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 2,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "num_experts": 4,
        "shared_expert_intermediate_size": 24,
        **EXPERTS,
    }
    plain, other = make("Qwen3Next", extra)
    assert not can_share(other)
    assert difference(plain, SharedPrefixModel(other, shared=False)) < 1e-4


def test_attention_that_hides_from_the_cache_is_noticed() -> None:
    """A model that swallows keyword arguments would attend to the tail alone: it must switch to copies."""
    plain, other = make("Llama", {})
    attention = other.model.layers[1].self_attn
    forward = attention.forward

    def deaf(*args: Any, cascade: object = None, **kwargs: Any) -> Any:
        return forward(*args, **kwargs)

    attention.forward = deaf
    model = SharedPrefixModel(other, shared=True)
    assert difference(plain, model) < 1e-4
    assert not model.shared


def test_the_prompt_is_never_copied_for_the_rows(tiny: HFPolicy) -> None:
    ids = torch.tensor([tiny.encode(Prompt(text="x = 1\n" * 20))])
    model = SharedPrefixModel(tiny.model, shared=True)
    state = model.prefill(ids)
    assert state.prefixes is not None
    rows = model.rows(state, 32)
    cache = rows.cache
    assert isinstance(cache, CascadeCache)
    with torch.no_grad():
        for _ in range(3):
            model.step(rows, torch.full((32, 1), 7))
    for layer, (keys, values) in zip(cache.cascade_layers(), state.prefixes, strict=True):
        assert layer.prefix is not None
        assert layer.prefix[0].data_ptr() == keys.data_ptr()
        assert layer.prefix[1].data_ptr() == values.data_ptr()
        assert keys.shape == (1, 2, ids.shape[1], 8)
        assert layer.tail is not None
        assert layer.tail[0].shape[0] == 32
        assert layer.tail_length == 3
    assert cache.prefix_bytes() == 2 * 2 * 2 * ids.shape[1] * 8 * 4
    # a second batch of rows starts from the same prompt, untouched by the first
    again = model.step(model.rows(state, 32), torch.full((32, 1), 7))
    fresh = model.step(model.rows(model.prefill(ids), 32), torch.full((32, 1), 7))
    assert torch.equal(again, fresh)


def test_one_prompt_is_read_once(tiny: HFPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    prefill = SharedPrefixModel.prefill

    def counting(self: SharedPrefixModel, ids: torch.Tensor) -> Any:
        read.append(ids.shape[1])
        return prefill(self, ids)

    monkeypatch.setattr(SharedPrefixModel, "prefill", counting)
    prompt = Prompt(text="a prompt of its own")
    done = tiny.sample(prompt, SamplingParams(max_tokens=4), SampleKey(0, "t", tuple(range(40))))
    tiny.compute_logprobs(prompt, [c.token_ids for c in done])
    assert read == [len(tiny.encode(prompt))]
