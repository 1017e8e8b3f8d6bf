# task: kernelbench:1/94
# expect: faster
from __future__ import annotations

import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def squares(a, b, out, n, BLOCK: tl.constexpr, TIMES: tl.constexpr):
    first = tl.program_id(0).to(tl.int64) * BLOCK * TIMES
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    for i in range(TIMES):
        at = first + i * BLOCK + tl.arange(0, BLOCK)
        d = tl.load(a + at, mask=at < n, other=0.0) - tl.load(b + at, mask=at < n, other=0.0)
        total += d * d
    tl.store(out + tl.program_id(0), tl.sum(total, axis=0))


class ModelNew(nn.Module):
    def forward(self, predictions, targets):
        n = predictions.numel()
        parts = torch.empty(triton.cdiv(n, 1024 * 32), device=predictions.device)
        squares[(parts.numel(),)](predictions, targets, parts, n, BLOCK=1024, TIMES=32, num_warps=4)
        return parts.double().sum().div_(n).float()
