"""Multiply every row of a signal matrix by its own gain, written as a product with a diagonal matrix."""

import torch
import torch.nn as nn

SCALE = 1
CHANNELS = 896
SAMPLES = 512 * SCALE


class Model(nn.Module):
    """Applies a diagonal gain matrix from the left."""

    def __init__(self):
        super().__init__()

    def forward(self, gains, signals):
        """gains (CHANNELS,), signals (CHANNELS, SAMPLES) -> (CHANNELS, SAMPLES)"""
        return torch.diag(gains) @ signals


def get_inputs():
    return [torch.randn(CHANNELS), torch.randn(CHANNELS, SAMPLES)]


def get_init_inputs():
    return []
