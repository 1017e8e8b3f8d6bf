"""Everything but x is per channel: one fused multiply-add."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class ModelNew(nn.Module):
    def __init__(self, channels, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.register_buffer("mean", 0.1 * torch.randn(channels))
        self.register_buffer("var", 0.5 + torch.rand(channels))
        self.register_buffer("weight", 0.5 + torch.rand(channels))
        self.register_buffer("bias", 0.1 * torch.randn(channels))

    def forward(self, x):
        return F.batch_norm(x, self.mean, self.var, self.weight, self.bias, training=False, eps=self.eps)
