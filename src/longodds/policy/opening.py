"""Opens a policy from its spec."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from longodds.errors import InfraError, UserError
from longodds.policy.embedded import EMBEDDED_ADAPTER, embedded_directory, read_base_record
from longodds.policy.spec import parse_policy_spec

if TYPE_CHECKING:
    from longodds.policy.hf import HFPolicy


def open_policy(
    spec: str,
    *,
    dtype: str | None = None,
    device: str = "cpu",
    cache_dir: Path | None = None,
    threads: int | None = None,
) -> HFPolicy:
    """Opens the policy that `spec` names (forms in `parse_policy_spec`).

    dtype: `bf16` or `fp32`; None takes bf16 where the device computes in it natively, else fp32.
    device: `cpu`, `cuda` or `cuda:N`. cache_dir: where `fetch_embedded` was told to put the model (`embedded`
    only; None: the configured cache directory). threads: CPU threads of torch, process-wide; None chooses by the
    machine's load (`choose_threads`).

    Raises UserError for a spec, model, adapter or device that can't be used, InfraError when the hub can't be reached.
    """
    parsed = parse_policy_spec(spec)
    for package in ("torch", "transformers", "peft"):
        if importlib.util.find_spec(package) is None:
            raise UserError(f"policy '{spec}' needs the package '{package}'; install it: pip install 'longodds[local]'")
    from longodds.policy.hf import HFPolicy

    notes: list[str] = []
    if parsed.kind == "embedded":
        directory, base = _embedded_base(spec, cache_dir)
        adapter = None if parsed.raw else parsed.adapter or EMBEDDED_ADAPTER
        if parsed.adapter is None and adapter is not None and not (adapter / "adapter_config.json").is_file():
            adapter = None
            notes.append(
                "the package holds no adapter: this is the raw base model, which writes little that is correct"
            )
    else:
        assert parsed.location is not None
        directory, base, adapter = _resolve_model(spec, parsed.location), None, parsed.adapter
    return HFPolicy(
        spec, directory, adapter=adapter, base_sha256=base, dtype=dtype, device=device, threads=threads, notes=notes
    )


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
