"""Rows of a codebook chosen by index, by way of one-hot codes."""

import torch
import torch.nn as nn
import torch.nn.functional as F

SCALE = 1
POINTS = 2048 * SCALE
CODES = 512
WIDTH = 64


class Model(nn.Module):
    """Decodes discrete codes into their vectors."""

    def __init__(self, codes, width):
        super().__init__()
        self.codebook = nn.Parameter(torch.randn(codes, width))

    def forward(self, codes):
        onehot = F.one_hot(codes, self.codebook.shape[0]).to(self.codebook.dtype)
        return onehot @ self.codebook


def get_inputs():
    return [torch.randint(0, CODES, (POINTS,))]


def get_init_inputs():
    return [CODES, WIDTH]
