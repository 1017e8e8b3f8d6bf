# task: kernelbench:1/88
# expect: faster
from __future__ import annotations

import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def gelu(x, y, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(x + at, mask=at < n)
    inner = 0.7978845608028654 * (v + 0.044715 * v * v * v)
    # tanh(u) = 1 - 2 / (1 + exp(2 u)), whose exponential may overflow without harm
    tanh = 1.0 - 2.0 / (1.0 + tl.exp(2.0 * inner))
    tl.store(y + at, 0.5 * v * (1.0 + tanh), mask=at < n)


class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        gelu[(triton.cdiv(x.numel(), 2048),)](x, y, x.numel(), BLOCK=2048, num_warps=8)
        return y
