"""Reflect the columns of a matrix at the hyperplane orthogonal to a given vector."""

import torch
import torch.nn as nn

SCALE = 1
DIM = 640
COLS = 640 * SCALE


class Model(nn.Module):
    """Householder reflection H = I - 2 v v^T / (v^T v), applied as H @ M."""

    def __init__(self):
        super().__init__()

    def forward(self, v, m):
        """v (DIM,), m (DIM, COLS) -> (DIM, COLS)"""
        identity = torch.eye(v.shape[0], dtype=v.dtype, device=v.device)
        h = identity - 2.0 * torch.outer(v, v) / torch.dot(v, v)
        return h @ m


def get_inputs():
    return [torch.randn(DIM), torch.randn(DIM, COLS)]


def get_init_inputs():
    return []
