"""Small random models of many architectures, with nothing at a constant that would hide a mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import transformers
from tiny_models import save_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

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
    "Qwen3Next": {
        "layer_types": ["linear_attention", "full_attention"],
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 2,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "num_experts": 4,
        "shared_expert_intermediate_size": 24,
        **EXPERTS,
    },
}
SHARING = [name for name in ARCHITECTURES if name != "Qwen3Next"]


def small_model(name: str, **more: Any) -> Any:
    """A random model of one of the architectures, in fp32 and with eager attention."""
    config = getattr(transformers, f"{name}Config")(**{**SMALL, **ARCHITECTURES[name], **more})
    config._attn_implementation = "eager"
    torch.manual_seed(0)
    model = getattr(transformers, f"{name.removesuffix('Text')}ForCausalLM")(config).eval().float()
    with torch.no_grad():
        for p in model.parameters():  # biases, norms and sinks start at constants that hide mistakes
            p.add_(0.05 * torch.randn_like(p))
    return model


def save_small(name: str, directory: Path) -> Path:
    """Writes such a model with a tokenizer of bytes."""
    size = save_tokenizer(directory)
    small_model(name, vocab_size=size, eos_token_id=size - 1).save_pretrained(str(directory))
    return directory
