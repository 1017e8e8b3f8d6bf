"""Apply the Kronecker product of two small matrices to a block of vectors."""

import torch
import torch.nn as nn

SCALE = 1
OUTER = 24
INNER = 40
COLUMNS = 192 * SCALE


class Model(nn.Module):
    """Forms the Kronecker product and multiplies."""

    def __init__(self):
        super().__init__()

    def forward(self, outer_factor, inner_factor, x):
        """outer_factor (OUTER, OUTER), inner_factor (INNER, INNER), x (OUTER * INNER, COLUMNS) -> like x"""
        operator = torch.kron(outer_factor, inner_factor)
        return operator @ x


def get_inputs():
    return [torch.randn(OUTER, OUTER), torch.randn(INNER, INNER), torch.randn(OUTER * INNER, COLUMNS)]


def get_init_inputs():
    return []
