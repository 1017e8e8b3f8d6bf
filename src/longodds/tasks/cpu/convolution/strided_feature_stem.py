"""Two strided convolutions with an activation in between."""

import torch
import torch.nn as nn
import torch.nn.functional as F

SCALE = 1
BATCH = 8 * SCALE
SIZE = 96


class Model(nn.Module):
    """The stem of an image network."""

    def __init__(self, channels, hidden):
        super().__init__()
        self.first = nn.Conv2d(3, channels, kernel_size=3, stride=2, padding=1)
        self.second = nn.Conv2d(channels, hidden, kernel_size=3, stride=2, padding=1)

    def forward(self, images):
        features = F.relu_(self.first(images))
        return self.second(features)


def get_inputs():
    return [torch.rand(BATCH, 3, SIZE, SIZE)]


def get_init_inputs():
    return [24, 48]
