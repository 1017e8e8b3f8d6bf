"""The shared prompt: kept once, exact for many architectures, and given up where it would be wrong."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
import torch
from small_models import SHARING, small_model

from longodds.policy.cascade import ATTENTION_NAME, CascadeCache, register_cascade_attention
from longodds.policy.decoding import StaticRows
from longodds.policy.prefix import SharedPrefixModel, can_share
from longodds.types import Prompt, SampleKey, SamplingParams

if TYPE_CHECKING:
    from longodds.policy.hf import HFPolicy

PROMPT, ROWS, NEW = 17, 5, 9


def make(name: str) -> tuple[Any, Any]:
    """The same random model twice: with eager attention, and ready for a shared prompt."""
    register_cascade_attention()
    model = small_model(name)
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


@pytest.mark.parametrize("name", SHARING)
def test_shared_prompt_is_exact(name: str) -> None:
    plain, other = make(name)
    assert can_share(other)
    model = SharedPrefixModel(other, shared=True)
    assert difference(plain, model) < 1e-4
    assert model.shared


@pytest.mark.parametrize("name", ["Llama", "Gemma2", "GptOss"])
def test_steps_of_fixed_shape_are_exact(name: str) -> None:
    """What a GPU replays as a graph: room for all tokens from the start, rows that leave without moving the others."""
    plain, other = make(name)
    model = SharedPrefixModel(other, shared=True, static=True)
    torch.manual_seed(1)
    prompt = torch.randint(3, 97, (1, PROMPT))
    new = torch.randint(3, 97, (ROWS, NEW))
    with torch.no_grad():
        full = plain(input_ids=torch.cat([prompt.expand(ROWS, -1), new], dim=1)).logits
        rows, alive = model.rows(model.prefill(prompt), ROWS, room=NEW), torch.arange(ROWS)
        assert isinstance(rows, StaticRows)
        for i in range(NEW):
            step = model.step(rows, new[alive, i : i + 1])[:, 0]
            assert torch.allclose(step, full[alive, PROMPT + i], atol=1e-4)
            stay = {1: [0, 1, 3, 4], 3: [1, 3], 6: [1]}.get(i)  # fewer; less than half; one
            if stay is not None:
                rows.keep(torch.tensor(stay))
                alive = alive[stay]


@pytest.mark.parametrize("name", ["Llama", "Mistral"])
def test_copied_prompt_is_exact(name: str) -> None:
    plain, other = make(name)
    other.set_attn_implementation("sdpa")
    assert difference(plain, SharedPrefixModel(other, shared=False)) < 1e-4


def test_recurrent_layers_fall_back_to_copies() -> None:
    plain, other = make("Qwen3Next")
    assert not can_share(other)
    assert difference(plain, SharedPrefixModel(other, shared=False)) < 1e-4


def test_attention_that_hides_from_the_cache_is_noticed() -> None:
    """A model that swallows keyword arguments would attend to the tail alone: it must switch to copies."""
    plain, other = make("Llama")
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
