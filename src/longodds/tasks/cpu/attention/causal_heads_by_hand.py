"""Causal scaled dot-product attention over several heads."""

import math

import torch
import torch.nn as nn

SCALE = 1
BATCH = SCALE
HEADS = 4
LENGTH = 512
HEAD_DIM = 48


class Model(nn.Module):
    """Each position attends to itself and to what came before."""

    def forward(self, query, key, value):
        length = query.shape[-2]
        scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
        future = torch.triu(torch.ones(length, length, dtype=torch.bool, device=query.device), diagonal=1)
        scores = scores.masked_fill(future, float("-inf"))
        return torch.softmax(scores, dim=-1) @ value


def get_inputs():
    shape = (BATCH, HEADS, LENGTH, HEAD_DIM)
    return [torch.randn(shape), torch.randn(shape), torch.randn(shape)]


def get_init_inputs():
    return []
