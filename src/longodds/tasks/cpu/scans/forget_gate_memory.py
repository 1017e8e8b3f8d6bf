"""Gated memory cell: each step forgets a part of the state and writes a candidate value."""

import torch
import torch.nn as nn

SCALE = 1
BATCH = 16 * SCALE
LENGTH = 256
HIDDEN = 64


class Model(nn.Module):
    """h <- f * h + (1 - f) * c with f = sigmoid(gate) and c = tanh(content)."""

    def __init__(self):
        super().__init__()

    def forward(self, gate, content, h):
        """gate, content (BATCH, LENGTH, HIDDEN), h (BATCH, HIDDEN) -> (BATCH, LENGTH, HIDDEN)"""
        outputs = []
        for i in range(gate.shape[1]):
            f = torch.sigmoid(gate[:, i])
            c = torch.tanh(content[:, i])
            h = f * h + (1 - f) * c
            outputs.append(h)
        return torch.stack(outputs, dim=1)


def get_inputs():
    return [torch.randn(BATCH, LENGTH, HIDDEN), torch.randn(BATCH, LENGTH, HIDDEN), torch.randn(BATCH, HIDDEN)]


def get_init_inputs():
    return []
