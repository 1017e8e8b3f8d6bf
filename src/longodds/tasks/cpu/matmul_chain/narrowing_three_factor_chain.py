"""Product of three matrices where multiplying from the left is already the cheap order."""

import torch
import torch.nn as nn

SCALE = 1
QUERIES = 320 * SCALE
FIRST = 768
SECOND = 512
THIRD = 768


class Model(nn.Module):
    """Chains three matrix products from left to right."""

    def __init__(self):
        super().__init__()

    def forward(self, queries, encode, decode):
        """queries (QUERIES, FIRST), encode (FIRST, SECOND), decode (SECOND, THIRD) -> (QUERIES, THIRD)"""
        hidden = torch.mm(queries, encode)
        return torch.mm(hidden, decode)


def get_inputs():
    return [torch.randn(QUERIES, FIRST), torch.randn(FIRST, SECOND), torch.randn(SECOND, THIRD)]


def get_init_inputs():
    return []
