"""Projects every pixel to more channels and averages over patches."""

import torch
import torch.nn as nn
import torch.nn.functional as F

SCALE = 1
BATCH = 2 * SCALE
CHANNELS = 32
FEATURES = 96
SIZE = 64
PATCH = 4


class Model(nn.Module):
    """A transition layer: pointwise convolution, then average pooling."""

    def __init__(self, channels, features, patch):
        super().__init__()
        self.project = nn.Conv2d(channels, features, kernel_size=1)
        self.patch = patch

    def forward(self, x):
        return F.avg_pool2d(self.project(x), self.patch)


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, SIZE, SIZE)]


def get_init_inputs():
    return [CHANNELS, FEATURES, PATCH]
