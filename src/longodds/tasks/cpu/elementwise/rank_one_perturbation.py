"""Add a scaled outer product of two vectors to a matrix."""

import torch
import torch.nn as nn

SCALE = 1
ROWS = 1024 * SCALE
COLS = 1536
ALPHA = 0.75


class Model(nn.Module):
    """matrix + alpha * outer(left, right)."""

    def __init__(self, alpha):
        super().__init__()
        self.alpha = alpha

    def forward(self, matrix, left, right):
        return matrix + self.alpha * torch.outer(left, right)


def get_inputs():
    return [torch.randn(ROWS, COLS), torch.randn(ROWS), torch.randn(COLS)]


def get_init_inputs():
    return [ALPHA]
