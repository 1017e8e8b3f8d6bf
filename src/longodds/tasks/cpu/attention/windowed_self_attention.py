"""Self-attention in which a position sees only its neighbours within a window."""

import torch
import torch.nn as nn

SCALE = 1
BATCH = 2 * SCALE
LENGTH = 1024
WIDTH = 64
WINDOW = 16


class Model(nn.Module):
    """Local attention: scores farther apart than the window are masked out."""

    def __init__(self, width, window):
        super().__init__()
        self.window = window
        self.scale = width**-0.5

    def forward(self, q, k, v):
        position = torch.arange(q.shape[1], device=q.device)
        far = (position[None, :] - position[:, None]).abs() > self.window
        scores = torch.bmm(q, k.transpose(1, 2)) * self.scale
        scores = scores.masked_fill(far, float("-inf"))
        return torch.bmm(scores.softmax(dim=-1), v)


def get_inputs():
    return [torch.randn(BATCH, LENGTH, WIDTH) for _ in range(3)]


def get_init_inputs():
    return [WIDTH, WINDOW]
