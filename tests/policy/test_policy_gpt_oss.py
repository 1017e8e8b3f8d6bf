"""A mixture of experts (gpt-oss): the snippet of a published model card, expert adapters, a device map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from small_models import save_small
from transformers import AutoModelForCausalLM, AutoTokenizer

from longodds.errors import UserError
from longodds.learning import AdamParams, Datum
from longodds.policy import LoraOptions, OpenOptions, open_learner, open_policy
from longodds.types import Prompt, SampleKey, SamplingParams

if TYPE_CHECKING:
    from pathlib import Path

FP32 = OpenOptions(dtype="fp32", threads=1)
PROMPT, PARAMS = Prompt(text="def forward(self, x):\n    "), SamplingParams(temperature=0.7, max_tokens=16)


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small("GptOss", tmp_path_factory.mktemp("gpt-oss"))


def test_the_card_of_a_published_model_works_here(model_dir: Path) -> None:
    """`from_pretrained(..., torch_dtype=bfloat16, device_map="auto")`, and the same model as a policy."""
    model: Any = AutoModelForCausalLM.from_pretrained(str(model_dir), torch_dtype=torch.bfloat16, device_map="auto")
    tokenizer: Any = AutoTokenizer.from_pretrained(str(model_dir))
    inputs = tokenizer(PROMPT.text, return_tensors="pt").to(model.device)
    out = model.generate(**inputs, max_new_tokens=8, do_sample=False)
    assert out.shape[1] > inputs["input_ids"].shape[1]
    policy = open_policy(f"hf:{model_dir}", OpenOptions(dtype="bf16", device="auto", threads=1))
    completions = policy.sample(PROMPT, PARAMS, SampleKey(0, "t", (0, 1, 2)))
    assert [len(c.logprobs) for c in completions] == [len(c.token_ids) for c in completions]


@pytest.mark.skipif(torch.cuda.is_available(), reason="spread over a GPU: its arithmetic is not the CPU's")
def test_a_spread_model_gives_the_same_samples(model_dir: Path) -> None:
    key = SampleKey(0, "t", tuple(range(5)))
    spread = open_policy(f"hf:{model_dir}", OpenOptions(dtype="fp32", device="auto", threads=1))
    plain: Any = open_policy(f"hf:{model_dir}", FP32)
    assert plain.shared_prefix
    assert spread.sample(PROMPT, PARAMS, key) == plain.sample(PROMPT, PARAMS, key)


def test_experts_are_adapted_saved_and_opened_again(model_dir: Path, tmp_path: Path) -> None:
    learner: Any = open_learner(f"hf:{model_dir}", FP32, LoraOptions(rank=2, alpha=4.0))
    adapted = [n for n in learner._adam.parameters if ".experts." in n]
    assert len(adapted) == 2 * 2 * 2, "two matrices of experts in two layers, A and B each"
    data = [Datum((5, 6, 7, 8), (9, 10, 11)), Datum((5, 6, 7, 8), (12, 13))]
    before = learner.forward_backward(data, "cross_entropy").loss
    assert all(float(learner.gradients()[n].abs().max()) > 0 for n in adapted if "lora_B" in n)
    learner.optim_step(AdamParams(learning_rate=0.02))
    learner.train_step(data, "cross_entropy", AdamParams(learning_rate=0.02))
    after = learner.forward_backward(data, "cross_entropy")
    assert after.loss < before - 1e-2
    learner.save_state(tmp_path / "adapter")
    opened = open_policy(f"hf:{model_dir}+adapter={tmp_path / 'adapter'}", FP32)
    assert opened.version == learner.version
    snapshot = learner.snapshot()
    rows = [(9, 10, 11), (12, 13)]
    for a, b in zip(opened.compute_logprobs(PROMPT, rows), snapshot.compute_logprobs(PROMPT, rows), strict=True):
        assert a == pytest.approx(b, abs=1e-4)


def test_experts_can_be_left_alone(model_dir: Path) -> None:
    learner: Any = open_learner(f"hf:{model_dir}", FP32, LoraOptions(rank=2, train_experts=False))
    assert not any(".experts." in n for n in learner._adam.parameters)
    assert any("q_proj" in n for n in learner._adam.parameters)


def test_a_published_adapter_finds_its_base(model_dir: Path, tmp_path: Path) -> None:
    learner: Any = open_learner(f"hf:{model_dir}", FP32, LoraOptions(rank=2))
    learner.train_step([Datum((5, 6), (9, 10))], "cross_entropy", AdamParams(learning_rate=0.02))
    learner.save_state(tmp_path / "adapter")
    opened = open_policy(f"hf:{tmp_path / 'adapter'}", FP32)
    assert opened.version == learner.version
    other = save_small("Qwen2", tmp_path / "other")
    with pytest.raises(UserError, match="trained on base"):
        open_policy(f"hf:{other}+adapter={tmp_path / 'adapter'}", FP32)
