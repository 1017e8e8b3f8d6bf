"""Scales the channels of a feature map by a small network of their averages."""

import torch
import torch.nn as nn

SCALE = 1
BATCH = 8 * SCALE
CHANNELS = 64
SIZE = 60


class Model(nn.Module):
    """A squeeze-and-excitation gate."""

    def __init__(self, channels, reduced):
        super().__init__()
        self.reduce = nn.Linear(channels, reduced)
        self.restore = nn.Linear(reduced, channels)

    def forward(self, x):
        summary = x.mean(dim=(2, 3))
        gate = torch.sigmoid(self.restore(torch.relu(self.reduce(summary))))
        return x * gate[:, :, None, None]


def get_inputs():
    return [torch.rand(BATCH, CHANNELS, SIZE, SIZE)]


def get_init_inputs():
    return [CHANNELS, 16]
