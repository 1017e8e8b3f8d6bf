"""Loads a causal language model, its tokenizer and an adapter; checks what the caller asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import peft
import torch
import transformers
from safetensors import SafetensorError

from longodds.errors import UserError
from longodds.policy.cascade import ATTENTION_NAME, register_cascade_attention
from longodds.policy.prefix import can_share
from longodds.policy.threads import available_cores, choose_threads, read_load_average

if TYPE_CHECKING:
    from pathlib import Path

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}

# Partially typed libraries, taken as untyped in one place.
_transformers: Any = transformers
_peft: Any = peft


def check_device(device: str) -> torch.device:
    """`cpu`, `cuda` or `cuda:N`; UserError for anything else or a GPU that isn't there."""
    try:
        parsed = torch.device(device)
    except RuntimeError as e:
        raise UserError(f"device '{device}': unknown; write cpu, cuda or cuda:N") from e
    if parsed.type not in ("cpu", "cuda"):
        raise UserError(f"device '{device}': not supported; write cpu, cuda or cuda:N")
    seen = torch.cuda.device_count()
    if parsed.type == "cuda" and (parsed.index or 0) >= seen:
        raise UserError(
            f"device '{device}': this torch sees {seen} CUDA GPUs; use cpu, or install a CUDA build of torch"
        )
    return parsed


def check_dtype(dtype: str | None, device: torch.device) -> str:
    """`bf16` or `fp32`; None takes bf16 where the device computes in it natively (emulated, it is slower than fp32)."""
    if dtype is None:
        return "bf16" if device.type == "cuda" or _cpu_has_bf16() else "fp32"
    if dtype not in DTYPES:
        raise UserError(f"dtype '{dtype}': unknown; write bf16 or fp32")
    return dtype


def _cpu_has_bf16() -> bool:
    read: Any = getattr(torch.cpu, "get_capabilities", None)
    capabilities: dict[str, Any] = read() if read is not None else {}
    return any(bool(capabilities.get(name)) for name in ("avx512_bf16", "amx_bf16"))


def check_threads(threads: int | None) -> int:
    """CPU threads for torch: the caller's number, or by the machine's load (`choose_threads`)."""
    if threads is None:
        return choose_threads(read_load_average(), available_cores())
    if threads < 1:
        raise UserError(f"threads {threads}: must be at least 1")
    return threads


def load_tokenizer(directory: Path) -> Any:
    """The tokenizer of a model directory; UserError when there is none."""
    try:
        return _transformers.AutoTokenizer.from_pretrained(str(directory))
    except (OSError, ValueError) as e:
        raise UserError(f"{directory}: no usable tokenizer ({_first_line(e)})") from e


def load_model(directory: Path, dtype: torch.dtype) -> Any:
    """The model, with cascade attention if its architecture can share a prompt and plain attention otherwise."""
    register_cascade_attention()
    try:
        model = _transformers.AutoModelForCausalLM.from_pretrained(
            str(directory), dtype=dtype, attn_implementation=ATTENTION_NAME
        )
    except (OSError, ValueError, KeyError) as e:
        raise UserError(f"{directory}: not a causal language model that can be loaded ({_first_line(e)})") from e
    if not can_share(model):
        model.set_attn_implementation("sdpa")
    return model


def merge_adapter(model: Any, adapter: Path) -> Any:
    """Adds a LoRA adapter's update to the weights: a frozen policy then runs at the base model's speed.

    Raises UserError unless the adapter's tensors are exactly those that its config asks for on this model; peft alone
    would leave what is missing at its initial value, and drop what it has no place for, in silence.
    """
    try:
        config = _peft.PeftConfig.from_pretrained(str(adapter))
        if config.peft_type != _peft.PeftType.LORA:
            raise ValueError(f"it is a {config.peft_type} adapter, only LORA is supported")
        config.inference_mode = True
        lora = _peft.PeftModel(model, config)
        loaded = lora.load_adapter(str(adapter), "default")
        if loaded.missing_keys or loaded.unexpected_keys:
            first = (loaded.missing_keys or loaded.unexpected_keys)[0]
            what = "has no tensor" if loaded.missing_keys else "has a tensor without a place"
            raise ValueError(f"it {what}: {first}")
        return lora.merge_and_unload()
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as e:
        raise UserError(f"adapter {adapter}: does not fit this model ({_first_line(e)})") from e


def stop_token_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """End-of-sequence tokens that the generation config and the tokenizer name."""
    named = getattr(model.generation_config, "eos_token_id", None)
    listed = cast("list[int]", named) if isinstance(named, list) else [named]
    return frozenset(int(t) for t in [*listed, tokenizer.eos_token_id] if t is not None)


def active_parameters(model: Any) -> int:
    """Parameters that take part in one token: tied ones once, experts by the share that a token is routed to."""
    config = model.config.get_text_config()
    experts = next(
        (v for n in ("num_local_experts", "num_experts", "n_routed_experts") if (v := getattr(config, n, None))), None
    )
    used = getattr(config, "num_experts_per_tok", None)
    share = used / experts if experts and used else 1.0
    named = cast("list[tuple[str, torch.nn.Parameter]]", list(model.named_parameters()))
    return round(sum(p.numel() * (share if ".experts." in name else 1.0) for name, p in named))


def _first_line(e: BaseException) -> str:
    lines = str(e).strip().splitlines()
    return lines[0][:200] if lines else type(e).__name__
