# task: kernelbench:1/40
# expect: faster
# 16 rows of four million elements: moments by chunks keep the whole device busy, where one block a row does not.
from __future__ import annotations

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, normalized_shape):
        super().__init__()
        self.ln = nn.LayerNorm(normalized_shape=normalized_shape)

    def forward(self, x):
        rows = x.view(x.shape[0], 1024, -1)
        var, mean = torch.var_mean(rows, dim=2, correction=0)
        centre = mean.mean(1, keepdim=True)
        spread = (var + (mean - centre) ** 2).mean(1, keepdim=True)
        shape = (-1, *[1] * (x.dim() - 1))
        scale = torch.rsqrt(spread + self.ln.eps)
        out = x * scale.view(shape)
        return torch.addcmul(self.ln.bias - (centre * scale).view(shape) * self.ln.weight, out, self.ln.weight)
