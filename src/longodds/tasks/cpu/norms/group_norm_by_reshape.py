"""Group normalisation of feature maps by reshaping the channels into groups."""

import torch
import torch.nn as nn

SCALE = 1
BATCH = 8 * SCALE
CHANNELS = 64
SIDE = 48
GROUPS = 8


class Model(nn.Module):
    """Each group of channels is normalised over its channels and pixels, then scaled per channel."""

    def __init__(self, channels, groups, eps=1e-5):
        super().__init__()
        self.groups = groups
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, maps):
        batch, channels, height, width = maps.shape
        grouped = maps.reshape(batch, self.groups, -1)
        mean = grouped.mean(dim=2, keepdim=True)
        var = grouped.var(dim=2, keepdim=True, unbiased=False)
        normed = (grouped - mean) / torch.sqrt(var + self.eps)
        normed = normed.reshape(batch, channels, height, width)
        return normed * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, SIDE, SIDE)]


def get_init_inputs():
    return [CHANNELS, GROUPS]
