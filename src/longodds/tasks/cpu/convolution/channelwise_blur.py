"""Blurs every channel of an image with a kernel of its own."""

import torch
import torch.nn as nn
import torch.nn.functional as F

SCALE = 1
BATCH = 2 * SCALE
CHANNELS = 24
SIZE = 64
KERNEL = 5


class Model(nn.Module):
    """Filters channel by channel and puts the results together again."""

    def __init__(self, channels, kernel):
        super().__init__()
        self.filters = nn.Parameter(torch.randn(channels, kernel, kernel) / kernel)
        self.padding = kernel // 2

    def forward(self, image):
        planes = []
        for c in range(image.shape[1]):
            kernel = self.filters[c][None, None]
            planes.append(F.conv2d(image[:, c : c + 1], kernel, padding=self.padding))
        return torch.cat(planes, dim=1)


def get_inputs():
    return [torch.rand(BATCH, CHANNELS, SIZE, SIZE)]


def get_init_inputs():
    return [CHANNELS, KERNEL]
