"""Content digests of weights, and which base model an adapter belongs to."""

from __future__ import annotations

import hashlib
import json
import struct
from typing import TYPE_CHECKING, Any, cast

from longodds.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

ADAPTER_RECORD = "longodds_adapter.json"
_CHUNK = 1 << 22


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes, hexadecimal."""
    h = hashlib.sha256()
    with path.open("rb") as f:
        while block := f.read(_CHUNK):
            h.update(block)
    return h.hexdigest()


def _safetensors_index(path: Path) -> dict[str, tuple[str, str, int, int]]:
    """Tensor name -> (dtype, shape, start, end) with absolute byte offsets, from a safetensors header."""
    try:
        with path.open("rb") as f:
            (length,) = struct.unpack("<Q", f.read(8))
            if length > path.stat().st_size:
                raise ValueError("header longer than the file")
            header = cast("dict[str, Any]", json.loads(f.read(length)))
    except (struct.error, ValueError) as e:
        raise UserError(f"{path}: not a safetensors file ({e}); copy or convert the model again") from e
    base = 8 + length
    return {
        name: (str(row["dtype"]), str(row["shape"]), base + row["data_offsets"][0], base + row["data_offsets"][1])
        for name, row in header.items()
        if name != "__metadata__"
    }


def safetensors_digest(paths: list[Path]) -> str:
    """sha256 over (name, dtype, shape, bytes) of all tensors in name order.

    It depends on the weights alone, not on how they are split into files, on metadata, or on the writer's version.
    """
    where = {name: (path, row) for path in paths for name, row in _safetensors_index(path).items()}
    h = hashlib.sha256()
    for name in sorted(where):
        path, (dtype, shape, start, end) = where[name]
        h.update(f"{name}\0{dtype}\0{shape}\0".encode())
        with path.open("rb") as f:
            f.seek(start)
            left = end - start
            while left > 0:
                block = f.read(min(_CHUNK, left))
                if not block:
                    raise UserError(f"{path}: cut short at tensor '{name}'; copy or convert the model again")
                h.update(block)
                left -= len(block)
    return h.hexdigest()


_DTYPE_NAMES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}


def tensor_digest(tensors: Mapping[str, Tensor]) -> str:
    """What `safetensors_digest` says of the file that holds these floating-point tensors."""
    import torch

    h = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        kind = _DTYPE_NAMES[str(tensor.dtype).removeprefix("torch.")]
        h.update(f"{name}\0{kind}\0{list(tensor.shape)}\0".encode())
        h.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return h.hexdigest()


def weights_digest(directory: Path) -> str:
    """Content digest (sha256, hexadecimal) of a model directory's weights.

    safetensors by tensor content; other formats (`*.bin`, `*.pt`, `*.gguf`) by file bytes in name order.
    Raises UserError when the directory holds no weights.
    """
    paths = sorted(directory.glob("*.safetensors"))
    if paths:
        return safetensors_digest(paths)
    others = sorted(p for pattern in ("*.bin", "*.pt", "*.gguf") for p in directory.glob(pattern))
    if not others:
        raise UserError(f"{directory}: no weights (*.safetensors) there; name a model directory in Hugging Face format")
    h = hashlib.sha256()
    for path in others:
        h.update(f"{path.name}\0{file_sha256(path)}\0".encode())
    return h.hexdigest()


# --- adapters --------------------------------------------------------------------------------


def adapter_digest(directory: Path) -> str:
    """Content digest of a PEFT adapter: its weights and what of its config changes the result."""
    effective = effective_adapter_config(read_adapter_config(directory))
    h = hashlib.sha256(json.dumps(effective, sort_keys=True).encode())
    weights = directory / "adapter_model.safetensors"  # beside it may lie an optimiser's state
    h.update((safetensors_digest([weights]) if weights.is_file() else weights_digest(directory)).encode())
    return h.hexdigest()


def effective_adapter_config(config: dict[str, Any]) -> dict[str, Any]:
    """What of an adapter's config changes its result, given its tensors."""
    names = ("peft_type", "r", "lora_alpha", "use_rslora", "use_dora", "rank_pattern", "alpha_pattern")
    return {name: getattr(config.get(name), "value", config.get(name)) for name in names}


def read_adapter_config(directory: Path) -> dict[str, Any]:
    """`adapter_config.json` of a PEFT adapter; UserError when it is missing or unreadable."""
    path = directory / "adapter_config.json"
    if not path.is_file():
        raise UserError(f"adapter {directory}: no adapter_config.json there; name a directory in PEFT format")
    try:
        config = json.loads(path.read_text("utf-8"))
    except ValueError as e:
        raise UserError(f"{path}: not JSON ({e}); save the adapter again") from e
    if not isinstance(config, dict):
        raise UserError(f"{path}: not a JSON object; save the adapter again")
    return cast("dict[str, Any]", config)


def record_adapter_base(directory: Path, base_sha256: str, **more: object) -> None:
    """Writes beside an adapter which base weights it was trained on (`weights_digest` of the base directory).

    more: anything JSON can hold (data, settings, figures); kept, not interpreted.
    """
    record = {"base_sha256": base_sha256, **more}
    (directory / ADAPTER_RECORD).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", "utf-8")


def adapter_base(directory: Path) -> str | None:
    """The base digest that an adapter records, or None where it records none (any foreign PEFT adapter)."""
    path = directory / ADAPTER_RECORD
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text("utf-8"))
        base = record.get("base_sha256")
    except (ValueError, AttributeError) as e:
        raise UserError(f"{path}: unreadable ({e}); save the adapter again or delete this file") from e
    if base is not None and not isinstance(base, str):
        raise UserError(f"{path}: field 'base_sha256' is not a text; save the adapter again")
    return base


def check_adapter_base(directory: Path, base_sha256: str) -> None:
    """Raises UserError when an adapter records that it was trained on other base weights."""
    recorded = adapter_base(directory)
    if recorded is not None and recorded != base_sha256:
        raise UserError(
            f"adapter {directory}: trained on base {recorded[:16]}..., but the model's weights are "
            f"{base_sha256[:16]}...; open it with the model it was trained on"
        )
