"""Rotate pairs of features by position-dependent angles, the rotary position embedding of a query tensor."""

import torch
import torch.nn as nn

SCALE = 1
HEADS = 16 * SCALE
LENGTH = 640
HEAD_DIM = 96


class Model(nn.Module):
    """x * cos + rotate_half(x) * sin, where rotate_half swaps the two halves and negates the first."""

    def __init__(self, length, head_dim):
        super().__init__()
        half = torch.arange(head_dim // 2, dtype=torch.float32)
        inv_freq = 10000.0 ** (-2.0 * half / head_dim)
        angles = torch.arange(length, dtype=torch.float32)[:, None] * inv_freq[None, :]
        angles = torch.cat([angles, angles], dim=-1)
        self.register_buffer("cos_table", angles.cos())
        self.register_buffer("sin_table", angles.sin())

    def forward(self, query):
        first, second = query.chunk(2, dim=-1)
        rotated = torch.cat([-second, first], dim=-1)
        return query * self.cos_table + rotated * self.sin_table


def get_inputs():
    return [torch.randn(HEADS, LENGTH, HEAD_DIM)]


def get_init_inputs():
    return [LENGTH, HEAD_DIM]
