"""One step of sampling: from logits to tokens with both of their log-probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from longodds.policy.noise import gumbel

if TYPE_CHECKING:
    from longodds.types import SamplingParams


@dataclass(frozen=True, slots=True)
class Choice:
    """tokens (K,) int64; logprobs, sampling_logprobs (K,) fp32 nats."""

    tokens: Tensor
    logprobs: Tensor
    sampling_logprobs: Tensor


def nucleus(logits: Tensor, top_p: float) -> Tensor:
    """Logits (K, V) with everything outside the smallest set of probability >= top_p at -inf.

    The most probable token always stays; ties are broken by token id (stable sort).
    """
    probabilities = torch.softmax(logits, dim=-1)
    ordered, order = probabilities.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(dim=-1) - ordered
    outside = torch.zeros_like(probabilities, dtype=torch.bool).scatter(-1, order, before >= top_p)
    outside.scatter_(-1, order[..., :1], False)
    return logits.masked_fill(outside, -torch.inf)


def choose(logits: Tensor, params: SamplingParams, keys: Tensor, position: int) -> Choice:
    """Draws one token a row.

    logits: (K, V) fp32, untempered. keys: (K, 2) of `row_keys`. position: number of tokens sampled before.
    logprobs are at temperature 1 over the full distribution; sampling_logprobs are of the tempered, top-p'd
    distribution actually sampled (0 for greedy decoding, which has no other outcome).
    """
    full = logits - torch.logsumexp(logits, dim=-1, keepdim=True)
    if params.temperature == 0:
        tokens = logits.argmax(dim=-1)
        picked = full.gather(-1, tokens[:, None])[:, 0]
        return Choice(tokens, picked, torch.zeros_like(picked))
    sampled = full if params.temperature == 1 else logits / params.temperature
    if params.top_p < 1:
        sampled = nucleus(sampled, params.top_p)
    tokens = (sampled + gumbel(keys, position, logits.shape[-1])).argmax(dim=-1)
    picked = full.gather(-1, tokens[:, None])[:, 0]
    if params.temperature == 1 and params.top_p >= 1:
        return Choice(tokens, picked, picked)
    behaviour = sampled.gather(-1, tokens[:, None])[:, 0] - torch.logsumexp(sampled, dim=-1)
    return Choice(tokens, picked, behaviour)
