# task: kernelbench:1/14
# expect: faster
# Products of upper triangular matrices, by halves: the blocks that are zero are never multiplied.
from __future__ import annotations

import torch
import torch.nn as nn

_SMALL = 1024


def product(a, b, out):
    n = a.shape[0]
    if n <= _SMALL:
        torch.mm(a, b, out=out)
        return
    h = n // 2
    product(a[:h, :h], b[:h, :h], out[:h, :h])
    product(a[h:, h:], b[h:, h:], out[h:, h:])
    torch.mm(a[:h, :h], b[:h, h:], out=out[:h, h:])
    out[:h, h:].addmm_(a[:h, h:], b[h:, h:])


class ModelNew(nn.Module):
    def forward(self, A, B):
        out = torch.zeros_like(A)
        product(A, B, out)
        return out
