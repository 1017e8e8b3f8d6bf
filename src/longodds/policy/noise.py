"""Sampling noise as a pure function of (seed, task digest, sample index, position, token).

No generator state exists, so a sample doesn't depend on which others were drawn with it, in what order, or
before which interruption. The same integer arithmetic runs on CPU and GPU.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence


def row_keys(seed: int, task_digest: str, indices: Sequence[int]) -> Tensor:
    """(K, 2) int32 keys, one row per sample index: 64 bits of sha256 over (seed, digest, index)."""
    keys: list[list[int]] = []
    for index in indices:
        h = hashlib.sha256(f"{seed}\0{task_digest}\0{index}".encode()).digest()
        keys.append([int.from_bytes(h[i : i + 4], "little", signed=True) for i in (0, 4)])
    return torch.tensor(keys, dtype=torch.int32).reshape(len(keys), 2)


def _shift(x: Tensor, bits: int) -> Tensor:
    """Logical right shift of int32 (torch's is arithmetic)."""
    return (x >> bits) & ((1 << (32 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    """A bijective finaliser on 32 bits in place (the multipliers of murmur3's fmix32), wrapping int32 arithmetic."""
    x ^= _shift(x, 16)
    x *= -2048144789  # 0x85ebca6b
    x ^= _shift(x, 13)
    x *= -1028477387  # 0xc2b2ae35
    x ^= _shift(x, 16)
    return x


def gumbel(keys: Tensor, position: int, vocabulary: int) -> Tensor:
    """(K, V) standard Gumbel noise in fp32 for one position.

    Gumbel-max sampling: argmax(logits + noise) is a draw from softmax(logits). It is used rather than
    inverting the distribution function because a rounding difference in the logits then changes the draw only when the
    two best sums are that close.
    """
    step = torch.tensor([position * 2 + 1], dtype=torch.int32, device=keys.device) * -1640531527  # 0x9e3779b9
    first = _mix((keys[:, :1] ^ step).clone())
    second = _mix((keys[:, 1:] + step).clone())
    tokens = torch.arange(vocabulary, dtype=torch.int32, device=keys.device)[None, :]
    bits = _mix(_mix(tokens ^ first) + second)
    # 31 bits; small values keep full relative precision in fp32, and they decide which rare token can win.
    uniform = (bits & 0x7FFFFFFF).float().add_(0.5).mul_(2.0**-31).clamp_(max=1 - 2.0**-24)
    return uniform.neg_().log1p_().neg_().log_().neg_()
