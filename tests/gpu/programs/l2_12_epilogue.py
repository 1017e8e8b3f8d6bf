# task: kernelbench:2/12
# expect: correct
# The product takes nearly all of the time: what follows it in one kernel gains little.
from __future__ import annotations

import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def finish(x, n, multiplier, slope, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(x + at, mask=at < n) * multiplier
    tl.store(x + at, tl.where(v >= 0, v, v * slope), mask=at < n)


class ModelNew(nn.Module):
    def __init__(self, in_features, out_features, multiplier, negative_slope):
        super().__init__()
        self.gemm = nn.Linear(in_features, out_features)
        self.multiplier, self.slope = multiplier, negative_slope

    def forward(self, x):
        y = self.gemm(x)
        finish[(triton.cdiv(y.numel(), 1024),)](y, y.numel(), self.multiplier, self.slope, BLOCK=1024)
        return y
