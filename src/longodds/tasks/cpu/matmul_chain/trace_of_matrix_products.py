"""Trace of the product of two matrices for each item of a batch."""

import torch
import torch.nn as nn

SCALE = 1
BATCH = 48 * SCALE
P = 160
Q = 128


class Model(nn.Module):
    """Multiplies the pair and sums the diagonal."""

    def __init__(self):
        super().__init__()

    def forward(self, left, right):
        """left (BATCH, P, Q), right (BATCH, Q, P) -> (BATCH,)"""
        product = torch.bmm(left, right)
        return product.diagonal(dim1=1, dim2=2).sum(dim=1)


def get_inputs():
    return [torch.randn(BATCH, P, Q), torch.randn(BATCH, Q, P)]


def get_init_inputs():
    return []
