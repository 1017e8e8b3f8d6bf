"""Mean of each channel of a batch of images over both spatial axes."""

import torch
import torch.nn as nn

SCALE = 1
IMAGES = 16 * SCALE
CHANNELS = 32
SIDE = 62


class Model(nn.Module):
    """(images, channels, side, side) -> (images, channels)."""

    def __init__(self):
        super().__init__()

    def forward(self, images):
        return images.mean(dim=(2, 3))


def get_inputs():
    return [torch.rand(IMAGES, CHANNELS, SIDE, SIDE)]


def get_init_inputs():
    return []
