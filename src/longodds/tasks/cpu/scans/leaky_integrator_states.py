"""Exponentially decaying state of every channel after each time step."""

import torch
import torch.nn as nn

SCALE = 1
CHANNELS = 96 * SCALE
STEPS = 384
KEEP = 0.875


class Model(nn.Module):
    """state <- keep * state + (1 - keep) * input, one step after another."""

    def __init__(self, keep):
        super().__init__()
        self.keep = keep

    def forward(self, drive):
        """drive (CHANNELS, STEPS) -> (CHANNELS, STEPS)"""
        state = torch.zeros_like(drive[:, 0])
        states = []
        for t in range(drive.shape[1]):
            state = self.keep * state + (1.0 - self.keep) * drive[:, t]
            states.append(state)
        return torch.stack(states, dim=1)


def get_inputs():
    return [torch.randn(CHANNELS, STEPS)]


def get_init_inputs():
    return [KEEP]
