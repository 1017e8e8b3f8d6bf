"""Build a Toeplitz matrix from its taps and apply it to several signals."""

import torch
import torch.nn as nn

SCALE = 1
LENGTH = 768
SIGNALS = 32 * SCALE


class Model(nn.Module):
    """Entry (i, j) of the matrix is taps[i - j + LENGTH - 1]."""

    def __init__(self):
        super().__init__()

    def forward(self, taps, signals):
        """taps (2 * LENGTH - 1,), signals (LENGTH, SIGNALS) -> (LENGTH, SIGNALS)"""
        n = signals.shape[0]
        position = torch.arange(n, device=taps.device)
        lag = position.unsqueeze(1) - position.unsqueeze(0) + n - 1
        toeplitz = taps[lag]
        return toeplitz @ signals


def get_inputs():
    return [torch.randn(2 * LENGTH - 1), torch.randn(LENGTH, SIGNALS)]


def get_init_inputs():
    return []
