"""Gaussian kernel between every two points of two sets, with a length scale per dimension."""

import torch
import torch.nn as nn

SCALE = 1
POINTS = 256 * SCALE
CENTRES = 192
WIDTH = 32


class Model(nn.Module):
    """Radial basis features of points around learned centres."""

    def __init__(self, centres, width):
        super().__init__()
        self.centres = nn.Parameter(torch.randn(centres, width))
        self.length_scale = nn.Parameter(torch.full((width,), 5.0))

    def forward(self, points):
        offset = (points.unsqueeze(1) - self.centres) / self.length_scale
        return torch.exp(-0.5 * offset.pow(2).sum(dim=-1))


def get_inputs():
    return [torch.randn(POINTS, WIDTH)]


def get_init_inputs():
    return [CENTRES, WIDTH]
