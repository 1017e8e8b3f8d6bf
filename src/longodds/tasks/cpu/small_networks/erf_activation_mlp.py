"""Two-layer perceptron with the exact Gaussian error activation."""

import math

import torch
import torch.nn as nn

SCALE = 1
BATCH = 1024 * SCALE
WIDTH = 48
HIDDEN = 768


class Model(nn.Module):
    """The feed-forward block of a transformer."""

    def __init__(self, width, hidden):
        super().__init__()
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)

    def forward(self, x):
        h = self.expand(x)
        h = 0.5 * h * (1.0 + torch.erf(h / math.sqrt(2.0)))
        return self.contract(h)


def get_inputs():
    return [torch.randn(BATCH, WIDTH)]


def get_init_inputs():
    return [WIDTH, HIDDEN]
