"""Integrate a batch of two-dimensional fields with a product quadrature rule."""

import torch
import torch.nn as nn

SCALE = 1
FIELDS = 48 * SCALE
NODES_Y = 160
NODES_X = 192


class Model(nn.Module):
    """Sum of field[y, x] * weight_y[y] * weight_x[x] over the grid, one number per field."""

    def __init__(self, nodes_y, nodes_x):
        super().__init__()
        self.weight_y = nn.Parameter(torch.rand(nodes_y) / nodes_y)
        self.weight_x = nn.Parameter(torch.rand(nodes_x) / nodes_x)

    def forward(self, field):
        weighted = field * self.weight_y[:, None] * self.weight_x[None, :]
        return weighted.sum(dim=(1, 2))


def get_inputs():
    return [torch.rand(FIELDS, NODES_Y, NODES_X)]


def get_init_inputs():
    return [NODES_Y, NODES_X]
