"""Reorders the rows of a batch by a permutation and weighs them."""

import torch
import torch.nn as nn

SCALE = 1
ROWS = 4096 * SCALE
WIDTH = 480


class Model(nn.Module):
    """Undoes a sort: row i of the result is row order[i] times its weight."""

    def forward(self, values, order, weight):
        restored = torch.index_select(values, 0, order)
        return restored.mul_(weight.unsqueeze(1))


def get_inputs():
    values = torch.randn(ROWS, WIDTH)
    order = torch.argsort(torch.rand(ROWS), stable=True)
    weight = torch.rand(ROWS)
    return [values, order, weight]


def get_init_inputs():
    return []
