"""Add a residual branch and normalise the sum, as after each sub-layer of a post-norm transformer."""

import torch
import torch.nn as nn

SCALE = 1
BATCH = 12 * SCALE
LENGTH = 160
WIDTH = 512


class Model(nn.Module):
    """norm(x + branch) with a standard layer norm."""

    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x, branch):
        return self.norm(x + branch)


def get_inputs():
    return [torch.randn(BATCH, LENGTH, WIDTH), torch.randn(BATCH, LENGTH, WIDTH)]


def get_init_inputs():
    return [WIDTH]
