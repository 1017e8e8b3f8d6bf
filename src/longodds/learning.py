"""What passes between a strategy and a model in training: data, optimiser settings, the `Learner` protocol.

Names follow Tinker's, so that what holds of one learner holds of all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from pathlib import Path

    from longodds.types import Policy

Loss = Literal["cross_entropy", "importance_sampling", "ppo", "cispo"]


@dataclass(frozen=True, slots=True)
class Datum:
    """One completion to learn from, with one number of each kind per completion token (nothing is shifted).

    prompt_ids: what the model is conditioned on (`Policy.encode`); not trained. token_ids: (n,) the completion.
    weights: (n,) of each token, for `cross_entropy`; None weighs every token 1.
    logprobs: (n,) nats, and advantages: (n,), for the other losses. The ratio is to these log-probabilities: those of
    the distribution that was sampled (`Completion.sampling_logprobs`) for `importance_sampling`; for `ppo` and `cispo`
    those at temperature 1, as the learner's are, or the clip cuts before any update. A token that shall not be learned
    has advantage 0.
    """

    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    weights: tuple[float, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    advantages: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not self.prompt_ids or not self.token_ids:
            raise ValueError("a Datum has at least one prompt token and one completion token")
        for name in ("weights", "logprobs", "advantages"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.token_ids):
                raise ValueError(f"Datum.{name} has {len(values)} numbers for {len(self.token_ids)} completion tokens")


@dataclass(frozen=True, slots=True)
class AdamParams:
    """Adam with Tinker's defaults. grad_clip_norm: largest norm of the whole gradient, 0 does not clip."""

    learning_rate: float = 1e-4
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-12
    weight_decay: float = 0.0
    grad_clip_norm: float = 0.0


@dataclass(frozen=True, slots=True)
class ForwardBackward:
    """loss: summed over the tokens of all data. logprobs: per datum (n,) nats, temperature 1, under the weights that
    the gradient was taken at. trained_tokens: tokens that went through the model, prompts included, each once."""

    loss: float
    logprobs: tuple[tuple[float, ...], ...]
    trained_tokens: int
    metrics: Mapping[str, float] = field(default_factory=dict)


@runtime_checkable
class Learner(Protocol):
    """A model in training. What it samples with is a `snapshot`, so a sampler can't go stale unnoticed.

    name: the spec it was opened from. parameters: active parameters (for FLOPs). steps: optimiser steps taken.
    version: what `snapshot().version` is now.
    """

    name: str
    parameters: int
    steps: int

    @property
    def version(self) -> str: ...

    def forward_backward(
        self, data: Sequence[Datum], loss: Loss = "importance_sampling", config: Mapping[str, float] | None = None
    ) -> ForwardBackward:
        """Adds the gradient of the loss to what has been accumulated since the last `optim_step`.

        Losses are sums over tokens, with r = exp(logprob now - Datum.logprobs) and advantage A, as Tinker defines them:
        `cross_entropy` -w logprob; `importance_sampling` -r A; `ppo` -min(r A, clip(r, low, high) A); `cispo`
        -sg(clip(r, low, high)) A logprob, sg: no gradient. config: `clip_low_threshold` (0.8), `clip_high_threshold`
        (1.2). Raises ValueError for data without what the loss needs.
        """
        ...

    def optim_step(self, params: AdamParams | None = None) -> dict[str, float]:
        """One Adam step with the accumulated gradient, which is then zero. Returns at least `grad_norm` if known."""
        ...

    def train_step(
        self,
        data: Sequence[Datum],
        loss: Loss = "importance_sampling",
        params: AdamParams | None = None,
        config: Mapping[str, float] | None = None,
    ) -> ForwardBackward:
        """`forward_backward`, then `optim_step` (its metrics are added), overlapped where the backend can."""
        ...

    def snapshot(self) -> Policy:
        """A new policy with the weights of now; later steps don't change it."""
        ...

    def save_state(self, directory: Path) -> None:
        """Writes what `load_state` and a policy spec can open: adapter in PEFT format (or a reference to remote
        weights) and optimiser state. The directory appears at once and whole."""
        ...

    def load_state(self, directory: Path) -> None:
        """Weights and optimiser as they were saved. Raises UserError for another base model or shape."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class Averaging(Protocol):
    """A learner whose saved adapters can be averaged."""

    def average(self, directories: Sequence[Path], shares: Sequence[float]) -> Policy:
        """A policy whose adapter is the weighted sum of saved ones, matrix by matrix (directories of `save_state`);
        the learner is left as it was. Raises UserError for an adapter of another shape."""
        ...
