"""Opens a policy or a learner from its spec: which backend serves which kind, and with what options.

`run:` and `replay:` read a run directory, which this room knows nothing of: `longodds.strategies.policies` opens these,
and passes the rest on to here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from longodds.errors import UserError
from longodds.policy.spec import PolicySpec, parse_policy_spec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from longodds.learning import Learner
    from longodds.types import Policy


@dataclass(frozen=True, slots=True)
class OpenOptions:
    """How to open a policy; each backend takes what concerns it.

    dtype: `bf16` or `fp32`; None takes bf16 where the device computes in it natively, else fp32.
    device: `cpu`, `cuda` or `cuda:N`, or `auto`: spread over all GPUs and the CPU by accelerate.
    cache_dir: of model files; None: the configured one. threads: CPU threads of torch, process-wide; None
    chooses by the machine's load. batch_bytes: memory that a batch of rows may take beside the model; None: a default.
    base_url: address of the service behind `openai:` or `tinker:`; None: the environment's, else the vendor's.
    tokenizer: directory or hub id of a remote model's tokenizer; None: the model's own.
    """

    dtype: str | None = None
    device: str = "cpu"
    cache_dir: Path | None = None
    threads: int | None = None
    batch_bytes: int | None = None
    base_url: str | None = None
    tokenizer: str | None = None


@dataclass(frozen=True, slots=True)
class LoraOptions:
    """A new adapter: Tinker's defaults. With an adapter in the spec, training goes on with that one instead.

    rank, alpha: the update is alpha / rank B A. seed: of A's initial values. train_experts: adapt the expert
    matrices of mixture-of-experts models too.
    """

    rank: int = 32
    alpha: float = 32.0
    seed: int = 0
    train_experts: bool = True


def _open_local(spec: PolicySpec, name: str, options: OpenOptions) -> Policy:
    from longodds.policy.local import open_local_policy

    return open_local_policy(spec, name, options)


def _open_tinker(spec: PolicySpec, name: str, options: OpenOptions) -> Policy:
    from longodds.policy.tinker_policy import open_tinker_policy

    return open_tinker_policy(spec, name, options)


def _open_openai(spec: PolicySpec, name: str, options: OpenOptions) -> Policy:
    from longodds.policy.openai_policy import open_openai_policy

    return open_openai_policy(spec, name, options)


def _learn_tinker(spec: PolicySpec, name: str, options: OpenOptions, lora: LoraOptions) -> Learner:
    from longodds.policy.tinker_learner import open_tinker_learner

    return open_tinker_learner(spec, name, options, lora)


def _open_local_learner(spec: PolicySpec, name: str, options: OpenOptions, lora: LoraOptions) -> Learner:
    from longodds.policy.local import open_local_learner

    return open_local_learner(spec, name, options, lora)


# What opens each kind of policy; `name` is the spec as the user wrote it.
_POLICIES: Mapping[str, Callable[[PolicySpec, str, OpenOptions], Policy]] = {
    "embedded": _open_local,
    "hf": _open_local,
    "openai": _open_openai,
    "tinker": _open_tinker,
    "gguf": _open_local,
}

# What opens each kind of learner.
_LEARNERS: Mapping[str, Callable[[PolicySpec, str, OpenOptions, LoraOptions], Learner]] = {
    "tinker": _learn_tinker,
    "embedded": _open_local_learner,
    "hf": _open_local_learner,
    "gguf": _open_local_learner,
}


def open_policy(spec: str | PolicySpec, options: OpenOptions | None = None, *, name: str | None = None) -> Policy:
    """Opens the policy that `spec` names (forms in `parse_policy_spec`). name: of the policy, if not the spec itself.

    Raises UserError for a spec, model, adapter or device that can't be used, InfraError when a service doesn't answer.
    """
    parsed, named = _parsed(spec, name)
    opener = _POLICIES.get(parsed.kind)
    if opener is None:
        raise UserError(f"policy '{named}': a policy of kind '{parsed.kind}' cannot be opened here")
    return opener(parsed, named, options or OpenOptions())


def open_learner(
    spec: str | PolicySpec,
    options: OpenOptions | None = None,
    lora: LoraOptions | None = None,
    *,
    name: str | None = None,
) -> Learner:
    """Opens the model that `spec` names for training an adapter. Raises as `open_policy`, and for a kind that
    can't be trained."""
    parsed, named = _parsed(spec, name)
    opener = _LEARNERS.get(parsed.kind)
    if opener is None:
        raise UserError(
            f"policy '{named}': a policy of kind '{parsed.kind}' cannot be trained; name a model: embedded, hf:..., "
            "gguf:..., tinker:... or run:RUN"
        )
    return opener(parsed, named, options or OpenOptions(), lora or LoraOptions())


def _parsed(spec: str | PolicySpec, name: str | None) -> tuple[PolicySpec, str]:
    parsed = parse_policy_spec(spec) if isinstance(spec, str) else spec
    return parsed, name or (spec if isinstance(spec, str) else f"{parsed.kind}:{parsed.location or ''}")
