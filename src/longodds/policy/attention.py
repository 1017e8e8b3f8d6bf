"""Exact attention with the scores written out: shared prefixes, sinks, score caps, sliding windows.

Fused kernels know none of these, or not together; where nothing of the kind is asked for, they are used instead.
Shapes: K rows, H query heads, Hkv key/value heads, G = H / Hkv, n new positions, P prefix, t tail length, D head size.
"""

from __future__ import annotations

import torch
from torch import Tensor

KeyValues = tuple[Tensor, Tensor]


def attend(
    query: Tensor,
    tail: KeyValues,
    prefix: KeyValues | None,
    scale: float,
    mask: Tensor | None,
    window: int | None,
    sinks: Tensor | None,
    softcap: float | None,
) -> Tensor:
    """Attention of n new positions of K rows to a shared prefix and to their own tails: query (K, H, n, D), prefix
    (1, Hkv, P, D) each, tail (K, Hkv, t, D) each, the new positions last. Returns (K, n, H, D).

    One softmax, in fp32, over the scores of both. mask: (K, 1 or Hkv, n, P + t), True or 0 where a position is seen;
    None is causal. window: sliding window; sinks: (H,); softcap: as in `cascade_attention`.
    """
    keys, values = tail
    rows, heads, n, size = query.shape
    kv_heads, t = keys.shape[1], keys.shape[2]
    groups = heads // kv_heads
    p = 0 if prefix is None else prefix[0].shape[2]
    grouped = query.reshape(rows, kv_heads, groups * n, size)
    scores = torch.matmul(grouped, keys.transpose(2, 3)).float()  # (K, Hkv, G n, t)
    if prefix is not None:
        # All rows' queries of one key/value head against the prompt: (Hkv, K G n, D) x (Hkv, D, P).
        flat = grouped.transpose(0, 1).reshape(kv_heads, rows * groups * n, size)
        shared = torch.matmul(flat, prefix[0][0].transpose(1, 2))
        shared = shared.view(kv_heads, rows, groups * n, p).transpose(0, 1)
        scores = torch.cat([shared.float(), scores], dim=-1)
    scores = scores * scale
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    scores = scores.view(rows, kv_heads, groups, n, p + t)
    if mask is not None:
        scores = (
            scores.masked_fill(~mask[:, :, None], -torch.inf) if mask.dtype == torch.bool else scores + mask[:, :, None]
        )
    elif n > 1 or (window is not None and window < p + t):
        scores = scores.masked_fill(_hidden(n, p + t, window, scores.device), -torch.inf)
    if sinks is not None:
        sink = sinks.float().view(1, kv_heads, groups, 1, 1).expand(rows, -1, -1, n, 1)
        weights = torch.softmax(torch.cat([scores, sink], dim=-1), dim=-1)[..., :-1]
    else:
        weights = torch.softmax(scores, dim=-1)
    weights = weights.to(query.dtype).view(rows, kv_heads, groups * n, p + t)
    out = torch.matmul(weights[..., p:], values)
    if prefix is not None:
        flat = weights[..., :p].transpose(0, 1).reshape(kv_heads, rows * groups * n, p)
        shared = torch.matmul(flat, prefix[1][0])
        out = out + shared.view(kv_heads, rows, groups * n, values.shape[3]).transpose(0, 1)
    return out.reshape(rows, heads, n, values.shape[3]).transpose(1, 2).contiguous()


def _hidden(n: int, total: int, window: int | None, device: torch.device) -> Tensor:
    """(n, total) bool: positions that the last n of `total` may not see (later ones, or beyond the window)."""
    at = torch.arange(total - n, total, device=device)[:, None]
    other = torch.arange(total, device=device)[None, :]
    hidden = other > at
    return hidden if window is None else hidden | (other <= at - window)
