"""Average response of a bank of filters over a whole image."""

import torch
import torch.nn as nn

SCALE = 1
BATCH = 4 * SCALE
CHANNELS = 8
FILTERS = 48
SIZE = 80


class Model(nn.Module):
    """Convolution followed by global average pooling, with nothing in between."""

    def __init__(self, channels, filters):
        super().__init__()
        self.bank = nn.Conv2d(channels, filters, kernel_size=3)

    def forward(self, images):
        responses = self.bank(images)
        return responses.mean(dim=(2, 3))


def get_inputs():
    exposure = torch.rand(BATCH, CHANNELS, 1, 1)
    return [exposure * torch.rand(BATCH, CHANNELS, SIZE, SIZE)]


def get_init_inputs():
    return [CHANNELS, FILTERS]
