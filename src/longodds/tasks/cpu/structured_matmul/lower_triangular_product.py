"""Product of the lower triangles of two square matrices."""

import torch
import torch.nn as nn

SCALE = 1
N = 896 * SCALE


class Model(nn.Module):
    """Multiplies two lower-triangular factors."""

    def __init__(self):
        super().__init__()

    def forward(self, first, second):
        """first (N, N), second (N, N) -> (N, N), zero above the diagonal"""
        return torch.tril(first) @ torch.tril(second)


def get_inputs():
    return [torch.randn(N, N), torch.randn(N, N)]


def get_init_inputs():
    return []
