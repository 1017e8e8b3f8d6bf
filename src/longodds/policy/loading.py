"""Loads a causal language model and its tokenizer onto a device; checks what the caller asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
import transformers

from longodds.errors import UserError
from longodds.policy.cascade import ATTENTION_NAME, register_cascade_attention
from longodds.policy.prefix import can_share
from longodds.policy.quiet import quiet_transformers
from longodds.policy.threads import available_cores, choose_threads, read_load_average
from longodds.policy.weights import weights_digest

if TYPE_CHECKING:
    from pathlib import Path

    from longodds.policy.opening import OpenOptions

AUTO = "auto"  # the device that means: wherever there is room
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}

# A partially typed library, taken as untyped in one place.
_transformers: Any = transformers


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory, without an adapter.

    model: the transformers model. device: where token ids go (where the embedding is). dtype: `bf16` or `fp32`.
    base_sha256: digest of the weights. parameters: active parameters. stop_ids: tokens that end a text.
    """

    directory: Path
    model: Any
    tokenizer: Any
    device: torch.device
    dtype: str
    base_sha256: str
    parameters: int
    stop_ids: frozenset[int]


def load(directory: Path, options: OpenOptions, base_sha256: str | None = None) -> LoadedModel:
    """Reads a model directory. base_sha256: of the weights if known already (saves reading them once more).

    Raises UserError for anything that can't be used.
    """
    device = None if options.device == AUTO else check_device(options.device)
    dtype = check_dtype(options.dtype, device or torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    if device is None or device.type == "cpu":
        torch.set_num_threads(check_threads(options.threads))
    digest = base_sha256 or weights_digest(directory)
    with quiet_transformers():
        tokenizer = load_tokenizer(directory)
        model = load_model(directory, DTYPES[dtype], device)
    model.eval().requires_grad_(False)
    where: torch.device = model.get_input_embeddings().weight.device
    return LoadedModel(
        directory, model, tokenizer, where, dtype, digest, active_parameters(model), stop_token_ids(model, tokenizer)
    )


def check_device(device: str) -> torch.device:
    """`cpu`, `cuda` or `cuda:N`; UserError for anything else or a GPU that isn't there."""
    try:
        parsed = torch.device(device)
    except RuntimeError as e:
        raise UserError(f"device '{device}': unknown; write cpu, cuda, cuda:N or auto") from e
    if parsed.type not in ("cpu", "cuda"):
        raise UserError(f"device '{device}': not supported; write cpu, cuda, cuda:N or auto")
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
        raise UserError(f"{directory}: no usable tokenizer ({first_line(e)})") from e


def load_model(directory: Path, dtype: torch.dtype, device: torch.device | None) -> Any:
    """The model, with cascade attention if its architecture can share a prompt and plain attention otherwise.

    device: None spreads it over the GPUs and the CPU's memory.
    """
    register_cascade_attention()
    placed = {"device_map": AUTO} if device is None else {}
    try:
        model = _transformers.AutoModelForCausalLM.from_pretrained(
            str(directory), dtype=dtype, attn_implementation=ATTENTION_NAME, **placed
        )
        if device is not None:
            model = model.to(device)
    except (OSError, ValueError, KeyError) as e:
        raise UserError(f"{directory}: not a causal language model that can be loaded ({first_line(e)})") from e
    if not can_share(model):
        model.set_attn_implementation("sdpa")
    return model


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


def first_line(e: BaseException) -> str:
    """Of what a library says of a mistake, at most 200 characters."""
    lines = str(e).strip().splitlines()
    return lines[0][:200] if lines else type(e).__name__
