"""The losses of a learner, each a function of log-probabilities: sums over tokens, as Tinker defines them.

r = exp(logprob - Datum.logprobs) is the importance ratio of a token, A its advantage, w its weight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import torch
from torch import Tensor

from longodds.learning import Datum, Loss

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CLIP_LOW, CLIP_HIGH = 0.8, 1.2
_CONFIG = ("clip_low_threshold", "clip_high_threshold")


def check_data(data: Sequence[Datum], loss: str, config: Mapping[str, float] | None) -> None:
    """Raises ValueError for an unknown loss, a config key it does not have, or data without what it needs."""
    if loss not in get_args(Loss):
        raise ValueError(f"loss {loss!r}: unknown; one of {', '.join(get_args(Loss))}")
    allowed = _CONFIG if loss in ("ppo", "cispo") else ()
    if unknown := [key for key in config or {} if key not in allowed]:
        raise ValueError(f"loss {loss!r} has no setting {unknown[0]!r}")
    if loss == "cross_entropy":
        return
    for i, datum in enumerate(data):
        if datum.logprobs is None or datum.advantages is None:
            raise ValueError(f"datum {i}: loss {loss!r} needs logprobs (of the policy that sampled) and advantages")


def token_losses(
    loss: Loss, logprobs: Tensor, data: Sequence[Datum], config: Mapping[str, float] | None = None
) -> Tensor:
    """Loss of each token, (n,), for the completion tokens of `data` one after another; differentiable in `logprobs`.

    logprobs: (n,) nats, fp32, under the weights in training.
    """
    if loss == "cross_entropy":
        weights = _column([d.weights or (1.0,) * len(d.token_ids) for d in data], logprobs)
        return -logprobs * weights
    advantages = _column([d.advantages or () for d in data], logprobs)
    ratio = torch.exp(logprobs - _column([d.logprobs or () for d in data], logprobs))
    if loss == "importance_sampling":
        return -ratio * advantages
    low = (config or {}).get("clip_low_threshold", CLIP_LOW)
    high = (config or {}).get("clip_high_threshold", CLIP_HIGH)
    clipped = ratio.clamp(low, high)
    if loss == "ppo":
        return -torch.minimum(ratio * advantages, clipped * advantages)
    return -clipped.detach() * advantages * logprobs


def _column(rows: Sequence[Sequence[float]], like: Tensor) -> Tensor:
    return torch.tensor([value for row in rows for value in row], dtype=like.dtype, device=like.device)
