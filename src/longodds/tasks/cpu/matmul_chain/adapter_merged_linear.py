"""Linear layer with a low-rank update that is merged into the weight on every call."""

import torch
import torch.nn as nn
import torch.nn.functional as F

SCALE = 1
TOKENS = 48 * SCALE
IN_FEATURES = 1024
OUT_FEATURES = 1024
RANK = 16
STRENGTH = 2.0


class Model(nn.Module):
    """y = x (W + strength * up @ down)^T + b"""

    def __init__(self, in_features, out_features, rank, strength):
        super().__init__()
        self.base = nn.Linear(in_features, out_features)
        self.down = nn.Parameter(torch.randn(rank, in_features) / in_features**0.5)
        self.up = nn.Parameter(torch.randn(out_features, rank) / rank**0.5)
        self.strength = strength

    def forward(self, x):
        """x (TOKENS, IN_FEATURES) -> (TOKENS, OUT_FEATURES)"""
        merged = self.base.weight + self.strength * (self.up @ self.down)
        return F.linear(x, merged, self.base.bias)


def get_inputs():
    return [torch.randn(TOKENS, IN_FEATURES)]


def get_init_inputs():
    return [IN_FEATURES, OUT_FEATURES, RANK, STRENGTH]
