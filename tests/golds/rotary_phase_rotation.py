"""Multiply once, then add the rotated halves into the result in place: no concatenation, no second product."""

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, length, head_dim):
        super().__init__()
        half = torch.arange(head_dim // 2, dtype=torch.float32)
        inv_freq = 10000.0 ** (-2.0 * half / head_dim)
        angles = torch.arange(length, dtype=torch.float32)[:, None] * inv_freq[None, :]
        angles = torch.cat([angles, angles], dim=-1)
        self.register_buffer("cos_table", angles.cos())
        self.register_buffer("sin_table", angles.sin())

    def forward(self, query):
        half = query.shape[-1] // 2
        out = query * self.cos_table
        out[..., :half].addcmul_(query[..., half:], self.sin_table[:, :half], value=-1)
        out[..., half:].addcmul_(query[..., :half], self.sin_table[:, half:])
        return out
