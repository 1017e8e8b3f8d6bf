"""Apply an operator made of a diagonal and a low-rank part to a block of vectors."""

import torch
import torch.nn as nn

SCALE = 1
DIM = 1024
RANK = 16
VECTORS = 128 * SCALE


class Model(nn.Module):
    """Operator D + U V^T with learned D, U and V."""

    def __init__(self, dim, rank):
        super().__init__()
        self.diagonal = nn.Parameter(torch.randn(dim))
        self.u = nn.Parameter(torch.randn(dim, rank) / rank**0.5)
        self.v = nn.Parameter(torch.randn(dim, rank) / dim**0.5)

    def forward(self, vectors):
        """vectors (DIM, VECTORS) -> (DIM, VECTORS)"""
        operator = torch.diag(self.diagonal) + self.u @ self.v.T
        return operator @ vectors


def get_inputs():
    return [torch.randn(DIM, VECTORS)]


def get_init_inputs():
    return [DIM, RANK]
