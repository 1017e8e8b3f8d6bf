"""Maximum over windows of three sizes around every position, stacked with the input."""

import torch
import torch.nn as nn
import torch.nn.functional as F

SCALE = 1
BATCH = 2 * SCALE
CHANNELS = 16
SIZE = 32


class Model(nn.Module):
    """Spatial pyramid pooling at stride one, as in object detectors."""

    def forward(self, x):
        small = F.max_pool2d(x, kernel_size=5, stride=1, padding=2)
        medium = F.max_pool2d(x, kernel_size=9, stride=1, padding=4)
        large = F.max_pool2d(x, kernel_size=13, stride=1, padding=6)
        return torch.cat([x, small, medium, large], dim=1)


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, SIZE, SIZE)]


def get_init_inputs():
    return []
