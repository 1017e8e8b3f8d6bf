"""Two pointwise convolutions in a row, wide in the middle."""

import torch
import torch.nn as nn

SCALE = 1
BATCH = 2 * SCALE
CHANNELS = 48
HIDDEN = 192
SIZE = 40


class Model(nn.Module):
    """A linear bottleneck block without an activation between its layers."""

    def __init__(self, channels, hidden):
        super().__init__()
        self.widen = nn.Conv2d(channels, hidden, kernel_size=1)
        self.squeeze = nn.Conv2d(hidden, channels, kernel_size=1)

    def forward(self, x):
        return self.squeeze(self.widen(x))


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, SIZE, SIZE)]


def get_init_inputs():
    return [CHANNELS, HIDDEN]
