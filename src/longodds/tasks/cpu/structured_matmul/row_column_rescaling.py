"""Rescale the rows and the columns of a batch of matrices with two diagonal matrices."""

import torch
import torch.nn as nn

SCALE = 1
BATCH = 4 * SCALE
HEIGHT = 384
WIDTH = 448


class Model(nn.Module):
    """Computes diag(left) M diag(right) for every matrix M of the batch."""

    def __init__(self):
        super().__init__()

    def forward(self, left, matrices, right):
        """left (HEIGHT,), matrices (BATCH, HEIGHT, WIDTH), right (WIDTH,) -> (BATCH, HEIGHT, WIDTH)"""
        scaled = torch.matmul(torch.diag(left), matrices)
        return torch.matmul(scaled, torch.diag(right))


def get_inputs():
    return [torch.rand(HEIGHT) + 0.5, torch.randn(BATCH, HEIGHT, WIDTH), torch.rand(WIDTH) + 0.5]


def get_init_inputs():
    return []
