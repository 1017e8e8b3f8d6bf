"""Project every step of a sequence and average the projections over the steps."""

import torch
import torch.nn as nn

SCALE = 1
BATCH = 16 * SCALE
STEPS = 192
FEATURES = 256
WIDTH = 384


class Model(nn.Module):
    """Linear projection followed by a mean over time."""

    def __init__(self, features, width):
        super().__init__()
        self.projection = nn.Linear(features, width)

    def forward(self, sequence):
        """sequence (BATCH, STEPS, FEATURES) -> (BATCH, WIDTH)"""
        projected = self.projection(sequence)
        return projected.mean(dim=1)


def get_inputs():
    return [torch.randn(BATCH, STEPS, FEATURES)]


def get_init_inputs():
    return [FEATURES, WIDTH]
