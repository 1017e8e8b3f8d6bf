"""Apply the product of two matrices to one vector for each item."""

import torch
import torch.nn as nn

SCALE = 1
BATCH = 3 * SCALE
ROWS = 384
MIDDLE = 448
COLS = 384


class Model(nn.Module):
    """Multiplies the matrices first and then the vector."""

    def __init__(self):
        super().__init__()

    def forward(self, a, b, v):
        """a (BATCH, ROWS, MIDDLE), b (BATCH, MIDDLE, COLS), v (BATCH, COLS, 1) -> (BATCH, ROWS, 1)"""
        return torch.bmm(torch.bmm(a, b), v)


def get_inputs():
    return [torch.randn(BATCH, ROWS, MIDDLE), torch.randn(BATCH, MIDDLE, COLS), torch.randn(BATCH, COLS, 1)]


def get_init_inputs():
    return []
