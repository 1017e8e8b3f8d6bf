"""A rank-one kernel is a vertical pass followed by a horizontal one: 2 n instead of n^2 products a pixel."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class ModelNew(nn.Module):
    def __init__(self, channels, taps):
        super().__init__()
        self.vertical = nn.Parameter(torch.rand(channels, taps) / taps)
        self.horizontal = nn.Parameter(torch.rand(channels, taps) / taps)

    def forward(self, x):
        channels, taps = self.vertical.shape
        half = taps // 2
        x = F.conv2d(x, self.vertical.view(channels, 1, taps, 1), padding=(half, 0), groups=channels)
        return F.conv2d(x, self.horizontal.view(channels, 1, 1, taps), padding=(0, half), groups=channels)
