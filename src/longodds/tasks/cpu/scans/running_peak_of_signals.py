"""Highest value seen so far at every time step of several signals."""

import torch
import torch.nn as nn

SCALE = 1
SIGNALS = 48 * SCALE
STEPS = 512
BANDS = 8


class Model(nn.Module):
    """Carries the maximum along the time axis."""

    def __init__(self):
        super().__init__()

    def forward(self, signal):
        """signal (SIGNALS, STEPS, BANDS) -> (SIGNALS, STEPS, BANDS)"""
        peak = signal[:, 0]
        history = [peak]
        for step in range(1, signal.shape[1]):
            peak = torch.maximum(peak, signal[:, step])
            history.append(peak)
        return torch.stack(history, dim=1)


def get_inputs():
    return [torch.randn(SIGNALS, STEPS, BANDS)]


def get_init_inputs():
    return []
