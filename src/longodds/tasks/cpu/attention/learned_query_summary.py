"""Summary of a sequence by one learned query that attends over all positions."""

import torch
import torch.nn as nn

SCALE = 1
BATCH = 16 * SCALE
LENGTH = 256
WIDTH = 192


class Model(nn.Module):
    """Attention pooling: projects keys and values, weighs positions, sums the values."""

    def __init__(self, width):
        super().__init__()
        self.query = nn.Parameter(torch.randn(width) * 0.1)
        self.to_key = nn.Linear(width, width, bias=False)
        self.to_value = nn.Linear(width, width)
        self.scale = width**-0.5

    def forward(self, x):
        keys = self.to_key(x)
        values = self.to_value(x)
        attention = torch.softmax((keys @ self.query) * self.scale, dim=1)
        return (attention.unsqueeze(-1) * values).sum(dim=1)


def get_inputs():
    return [torch.randn(BATCH, LENGTH, WIDTH)]


def get_init_inputs():
    return [WIDTH]
