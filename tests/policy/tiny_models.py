"""A tiny randomly initialised Llama, its byte-level tokenizer and LoRA adapters: real code paths in milliseconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from longodds.policy.quiet import quiet_transformers

if TYPE_CHECKING:
    from pathlib import Path

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
    directory.mkdir(parents=True, exist_ok=True)
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


def make_adapter(base: Path, directory: Path, *, seed: int = 0, rank: int = 4) -> Path:
    """A LoRA adapter that changes the distribution visibly."""
    torch.manual_seed(seed)
    with quiet_transformers():
        model: Any = LlamaForCausalLM.from_pretrained(str(base), dtype=torch.float32)
        lora: Any = get_peft_model(model, LoraConfig(r=rank, lora_alpha=8, target_modules="all-linear"))
    with torch.no_grad():
        for name, p in lora.named_parameters():
            if "lora_B" in name:
                p.normal_(std=0.3)
    lora.save_pretrained(str(directory))
    return directory
