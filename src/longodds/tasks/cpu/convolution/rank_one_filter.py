"""Depthwise filtering with a square kernel that is an outer product of a row and a column profile."""

import torch
import torch.nn as nn
import torch.nn.functional as F

SCALE = 1
BATCH = SCALE
CHANNELS = 8
SIZE = 64
TAPS = 15


class Model(nn.Module):
    """Separable smoothing, written with its two-dimensional kernel."""

    def __init__(self, channels, taps):
        super().__init__()
        self.vertical = nn.Parameter(torch.rand(channels, taps) / taps)
        self.horizontal = nn.Parameter(torch.rand(channels, taps) / taps)

    def forward(self, x):
        kernel = self.vertical.unsqueeze(2) * self.horizontal.unsqueeze(1)
        return F.conv2d(x, kernel.unsqueeze(1), padding="same", groups=x.shape[1])


def get_inputs():
    return [torch.rand(BATCH, CHANNELS, SIZE, SIZE)]


def get_init_inputs():
    return [CHANNELS, TAPS]
