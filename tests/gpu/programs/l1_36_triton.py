# task: kernelbench:1/36
# expect: faster
# The mean over 64 channels and the division in one pass: each place is read once or, from the cache, twice.
from __future__ import annotations

import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def normalise(x, y, places, eps, CHANNELS: tl.constexpr, BLOCK: tl.constexpr):
    first = tl.program_id(1).to(tl.int64) * CHANNELS * places
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    channel = tl.arange(0, CHANNELS)
    where = first + channel[:, None] * places + at[None, :]
    inside = (at < places)[None, :]
    v = tl.load(x + where, mask=inside, other=0.0)
    rms = tl.sqrt(tl.sum(v * v, axis=0) / CHANNELS + eps)
    tl.store(y + where, v / rms[None, :], mask=inside)


class ModelNew(nn.Module):
    def __init__(self, num_features):
        super().__init__()
        self.num_features, self.eps = num_features, 1e-5

    def forward(self, x):
        y = torch.empty_like(x)
        places = x[0, 0].numel()
        grid = (triton.cdiv(places, 128), x.shape[0])
        normalise[grid](x, y, places, self.eps, CHANNELS=self.num_features, BLOCK=128, num_warps=4)
        return y
