"""A tiny randomly initialised Llama with a byte-level tokenizer, made once: real code paths in milliseconds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from longodds.policy import open_policy
from longodds.types import Prompt

if TYPE_CHECKING:
    from collections.abc import Callable

    from longodds.policy.hf import HFPolicy

CHAT_TEMPLATE = "{% for m in messages %}[{{ m.role }}]{{ m.content }}\n{% endfor %}[assistant]"


def save_tokenizer(directory: Path, *, chat: bool = True) -> int:
    """Writes a tokenizer whose tokens are the 256 bytes and an end token; returns the vocabulary's size."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {c: i for i, c in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")
    if chat:
        fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(str(directory))
    return len(fast)


def save_llama(directory: Path, *, seed: int = 0, chat: bool = True) -> Path:
    """Writes a Llama of 2 layers whose next-token distribution is far from uniform."""
    size = save_tokenizer(directory, chat=chat)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=None,
        eos_token_id=size - 1,
        pad_token_id=size - 1,
        initializer_range=0.3,
    )
    LlamaForCausalLM(config).save_pretrained(str(directory))
    return directory


@pytest.fixture(scope="session")
def tiny_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny(tiny_dir: Path) -> HFPolicy:
    return open_policy(f"hf:{tiny_dir}", dtype="fp32", threads=1)


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
