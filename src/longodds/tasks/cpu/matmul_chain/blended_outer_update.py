"""Decay a memory matrix and add a scaled product of keys and values to it."""

import torch
import torch.nn as nn

SCALE = 1
HEADS = 8 * SCALE
KEY_DIM = 512
VALUE_DIM = 384
ITEMS = 16


class Model(nn.Module):
    """memory <- decay * memory + rate * keys @ values, for each head."""

    def __init__(self, decay, rate):
        super().__init__()
        self.decay = decay
        self.rate = rate

    def forward(self, memory, keys, values):
        """memory (HEADS, KEY_DIM, VALUE_DIM), keys (HEADS, KEY_DIM, ITEMS), values (HEADS, ITEMS, VALUE_DIM)"""
        return self.decay * memory + self.rate * torch.matmul(keys, values)


def get_inputs():
    return [
        torch.randn(HEADS, KEY_DIM, VALUE_DIM),
        torch.randn(HEADS, KEY_DIM, ITEMS),
        torch.randn(HEADS, ITEMS, VALUE_DIM),
    ]


def get_init_inputs():
    return [0.75, 0.5]
