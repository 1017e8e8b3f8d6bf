"""LoRA adapters (Hu et al., arXiv:2106.09685) in PEFT format: made, loaded, digested, copied, merged, saved."""

from __future__ import annotations

import contextlib
import copy
import glob
import hashlib
import json
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import peft
import torch
from peft.utils.save_and_load import get_peft_model_state_dict
from safetensors import SafetensorError
from torch import Tensor

from longodds.errors import InfraError, UserError
from longodds.policy.loading import first_line
from longodds.policy.quiet import quiet_transformers
from longodds.policy.weights import effective_adapter_config, read_adapter_config, tensor_digest

if TYPE_CHECKING:
    from collections.abc import Generator

    from longodds.policy.opening import LoraOptions

_peft: Any = peft
_get_state: Any = get_peft_model_state_dict
ADAPTER = "default"
WEIGHTS = "adapter_model.safetensors"


def expert_parameters(model: Any) -> list[str]:
    """Names, as PEFT matches them, of expert matrices that are parameters (experts, in, out) rather than layers."""
    named = cast("list[tuple[str, Tensor]]", list(model.named_parameters()))
    found = {".".join(name.split(".")[-2:]) for name, p in named if ".experts." in name and p.dim() == 3}
    return sorted(found)


def add_adapter(model: Any, options: LoraOptions) -> Any:
    """A PEFT model with a new LoRA on every linear layer but the output layer, and on the experts.

    Raises UserError for a rank or alpha without meaning.
    """
    if options.rank < 1 or options.alpha <= 0:
        raise UserError(f"LoRA rank {options.rank}, alpha {options.alpha:g}: both must be above 0")
    experts = expert_parameters(model) if options.train_experts else []
    config = _peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=options.rank,
        lora_alpha=options.alpha,
        lora_dropout=0.0,
        target_modules="all-linear",
        target_parameters=experts or None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        with _quiet():
            return _peft.get_peft_model(model, config)


def load_adapter(model: Any, directory: Path, *, trainable: bool) -> Any:
    """A PEFT model with the adapter of a directory.

    Raises UserError unless the adapter's tensors are exactly those that its config asks for on this model; peft alone
    would leave what is missing at its initial value, and drop what it has no place for, in silence.
    """
    try:
        config = _peft.PeftConfig.from_pretrained(str(directory))
        if config.peft_type != _peft.PeftType.LORA:
            raise ValueError(f"it is a {config.peft_type} adapter, only LORA is supported")
        config.inference_mode = not trainable
        with _quiet():
            lora = _peft.PeftModel(model, config)
            loaded = lora.load_adapter(str(directory), ADAPTER, is_trainable=trainable)
        if loaded.missing_keys or loaded.unexpected_keys:
            first = (loaded.missing_keys or loaded.unexpected_keys)[0]
            what = "has no tensor" if loaded.missing_keys else "has a tensor without a place"
            raise ValueError(f"it {what}: {first}")
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as e:
        raise UserError(f"adapter {directory}: does not fit this model ({first_line(e)})") from e
    return lora


def read_into(lora: Any, directory: Path) -> None:
    """Replaces the adapter's weights by those of a directory with the same shape. Raises UserError otherwise."""
    mine = effective_adapter_config(lora.peft_config[ADAPTER].to_dict())
    theirs = effective_adapter_config(read_adapter_config(directory))
    if differ := [key for key in mine if mine[key] != theirs[key]]:
        raise UserError(
            f"adapter {directory}: its {differ[0]} is {theirs[differ[0]]}, the one in training has {mine[differ[0]]}"
        )
    try:
        loaded = lora.load_adapter(str(directory), ADAPTER, is_trainable=True)
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as e:
        raise UserError(f"adapter {directory}: does not fit this model ({first_line(e)})") from e
    if loaded.missing_keys or loaded.unexpected_keys:
        raise UserError(f"adapter {directory}: has other tensors than the one in training")


def adapter_state(lora: Any) -> dict[str, Tensor]:
    """Name -> tensor, named as in the file that PEFT writes."""
    state: dict[str, Tensor] = _get_state(lora, adapter_name=ADAPTER, save_embedding_layers=False)
    return state


def digest_adapter(lora: Any) -> str:
    """What `adapter_digest` says of the directory that `save_adapter` would write."""
    config = effective_adapter_config(lora.peft_config[ADAPTER].to_dict())
    h = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    h.update(tensor_digest(adapter_state(lora)).encode())
    return h.hexdigest()


def save_adapter(lora: Any, directory: Path) -> None:
    """adapter_config.json and adapter_model.safetensors, as PEFT reads them."""
    with quiet_transformers():
        lora.save_pretrained(str(directory), save_embedding_layers=False)
    for extra in directory.glob("README.md"):  # PEFT's model card template, with nothing filled in
        extra.unlink()


@contextlib.contextmanager
def whole_directory(target: Path) -> Generator[Path]:
    """A scratch directory that becomes `target` at the end of the block, at once and whole; an old one is replaced.

    What a process that was killed in such a block left behind is removed: one process at a time writes a target. Raises
    InfraError where the disk is full.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in target.parent.glob(f".{glob.escape(target.name)}.*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch:
        ready = Path(scratch) / "ready"
        ready.mkdir()
        try:
            yield ready
        except SafetensorError as e:  # it has no OSError
            raise InfraError(f"{target}: cannot be written: {e}") from None
        if target.exists():
            target.rename(Path(scratch) / "replaced")
        ready.rename(target)


def frozen_copy(lora: Any, *, merge: bool) -> Any:
    """A model of its own with the adapter's weights of now: later training does not change it.

    The base weights are shared, not copied, except those that merging changes. merge: add the update to the weights, so
    that sampling costs what the base model costs; otherwise the adapter stays beside them.
    """
    adapted = _adapted_parameters(lora) if merge else set[int]()
    named = cast("list[tuple[str, torch.nn.Parameter]]", list(lora.named_parameters()))
    tensors = [*(p for _, p in named), *cast("list[Tensor]", list(lora.buffers()))]
    shared = [t for t in tensors if not t.requires_grad and id(t) not in adapted]
    twin = copy.deepcopy(lora, {id(t): t for t in shared})
    if merge:
        with quiet_transformers():
            return twin.merge_and_unload()
    return twin.get_base_model()


def merged_bytes(lora: Any) -> int:
    """Memory that `frozen_copy` with merging takes."""
    named = cast("list[tuple[str, torch.nn.Parameter]]", list(lora.named_parameters()))
    adapted = _adapted_parameters(lora)
    return sum(p.numel() * p.element_size() for _, p in named if id(p) in adapted)


def _adapted_parameters(lora: Any) -> set[int]:
    """Identities of the base weights that the adapter updates."""
    found: set[int] = set()
    for module in lora.modules():
        base = getattr(module, "get_base_layer", None)
        if base is not None and getattr(module, "lora_A", None):
            name = getattr(module, "parameter_name", "weight")
            found.add(id(getattr(base(), name)))
    return found


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """PEFT gives fused expert matrices a rank of their own by a pattern, and warns where a model has layers instead."""
    with quiet_transformers(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The following (rank|alpha)_pattern keys", RuntimeWarning)
        yield
