"""GELU in its tanh approximation, written out term by term, on a batch of feed-forward activations."""

import math

import torch
import torch.nn as nn

SCALE = 1
TOKENS = 384 * SCALE
WIDTH = 3072


class Model(nn.Module):
    """0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))."""

    def __init__(self):
        super().__init__()

    def forward(self, x):
        inner = math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))
        return 0.5 * x * (1.0 + torch.tanh(inner))


def get_inputs():
    return [torch.randn(TOKENS, WIDTH)]


def get_init_inputs():
    return []
