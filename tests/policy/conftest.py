"""Fixtures of the policy tests: one tiny model, made once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from tiny_models import save_llama
from transformers import LlamaForCausalLM

from longodds.policy import OpenOptions, open_policy
from longodds.types import Prompt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from longodds.policy.hf import HFPolicy


@pytest.fixture(scope="session")
def tiny_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny(tiny_dir: Path) -> HFPolicy:
    return open_policy(f"hf:{tiny_dir}", OpenOptions(dtype="fp32", threads=1))


@pytest.fixture(scope="session")
def prompt() -> Prompt:
    return Prompt(text="def forward(self, x):\n       ")


@pytest.fixture(scope="session")
def plain_logprobs(tiny_dir: Path) -> Callable[[list[int], list[int]], torch.Tensor]:
    """Log-probabilities (n, V) at the positions of a continuation, by one forward pass of an untouched model."""
    model: Any = LlamaForCausalLM.from_pretrained(str(tiny_dir), dtype=torch.float32, attn_implementation="eager")

    def compute(prompt_ids: list[int], ids: list[int]) -> torch.Tensor:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt_ids + ids])).logits[0].float()
        return torch.log_softmax(logits, dim=-1)[len(prompt_ids) - 1 : len(prompt_ids) + len(ids) - 1]

    return compute
