"""Finds the files of a model that runs in this process and opens it."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from longodds.errors import InfraError, UserError
from longodds.policy.embedded import EMBEDDED_ADAPTER, embedded_directory, read_base_record

if TYPE_CHECKING:
    from longodds.policy.hf import HFPolicy
    from longodds.policy.opening import OpenOptions
    from longodds.policy.spec import PolicySpec


@dataclass(frozen=True, slots=True)
class Source:
    """Where a local model comes from. base_sha256: of the weights, where it is known without reading them."""

    directory: Path
    adapter: Path | None = None
    base_sha256: str | None = None
    notes: tuple[str, ...] = ()


def open_local_policy(spec: PolicySpec, name: str, options: OpenOptions) -> HFPolicy:
    """Raises UserError for a model, adapter or device that can't be used, InfraError when the hub can't be reached."""
    source = find_source(spec, name, options)
    from longodds.policy.hf import HFPolicy

    return HFPolicy(
        name,
        source.directory,
        adapter=source.adapter,
        base_sha256=source.base_sha256,
        dtype=options.dtype,
        device=options.device,
        threads=options.threads,
        batch_bytes=options.batch_bytes,
        notes=source.notes,
    )


def find_source(spec: PolicySpec, name: str, options: OpenOptions) -> Source:
    """The files that a spec names; downloads from the hub what is not in its cache."""
    for package in ("torch", "transformers", "peft"):
        if importlib.util.find_spec(package) is None:
            raise UserError(f"policy '{name}' needs the package '{package}'; install it: pip install 'longodds[local]'")
    if spec.kind == "embedded":
        return _find_embedded(spec, name, options)
    assert spec.location is not None
    return Source(_resolve_model(name, spec.location), spec.adapter)


def _find_embedded(spec: PolicySpec, name: str, options: OpenOptions) -> Source:
    directory, base = _embedded_base(name, options.cache_dir)
    adapter = None if spec.raw else spec.adapter or EMBEDDED_ADAPTER
    if spec.adapter is None and adapter is not None and not (adapter / "adapter_config.json").is_file():
        note = "the package holds no adapter: this is the raw base model, which writes little that is correct"
        return Source(directory, None, base, (note,))
    return Source(directory, adapter, base)


def _embedded_base(spec: str, cache_dir: Path | None) -> tuple[Path, str]:
    """Model directory and base digest of the embedded model."""
    if cache_dir is None:
        from longodds.config import read_environment

        cache_dir = read_environment().cache_dir
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
