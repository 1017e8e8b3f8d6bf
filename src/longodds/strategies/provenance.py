"""What a run's manifest says: versions, source revision, machine, policy and evaluator of this attempt."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import longodds
from longodds.tasks.revision import git_revision

if TYPE_CHECKING:
    from longodds.types import Evaluator, Policy

_PACKAGES = ("torch", "transformers", "peft", "safetensors", "tinker", "httpx", "numpy", "scipy")


def describe_attempt(
    policy: Policy | None, evaluator: Evaluator | None, *, device: str, isolation: dict[str, str] | None
) -> dict[str, Any]:
    """One attempt, as plain JSON. A policy or evaluator that this attempt did not need is left out."""
    from longodds.evaluator import device_name

    attempt: dict[str, Any] = {
        "versions": {"longodds": longodds.__version__, "python": platform.python_version(), **_versions()},
        "git": git_revision(Path(__file__).parent, below=":/"),
        "platform": {"system": platform.system(), "release": platform.release(), "machine": platform.machine()},
        "device": device,
        "device_name": device_name(),
    }
    if policy is not None:
        described: dict[str, Any] = getattr(policy, "described", dict)()
        attempt["policy"] = {
            "name": policy.name,
            "version": policy.version,
            "parameters": policy.parameters,
            **described,
        }
    if evaluator is not None:
        attempt["evaluator"] = evaluator.digest
    if isolation is not None:
        attempt["isolation"] = isolation
    return attempt


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
