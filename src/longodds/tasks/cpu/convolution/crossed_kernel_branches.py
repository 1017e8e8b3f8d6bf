"""Sum of a square, a tall and a flat convolution of one image."""

import torch
import torch.nn as nn

SCALE = 1
BATCH = 2 * SCALE
CHANNELS = 24
SIZE = 64


class Model(nn.Module):
    """Strengthens the cross of a 3x3 kernel with a 3x1 and a 1x3 branch."""

    def __init__(self, channels):
        super().__init__()
        self.square = nn.Conv2d(channels, channels, kernel_size=(3, 3), padding=(1, 1))
        self.tall = nn.Conv2d(channels, channels, kernel_size=(3, 1), padding=(1, 0))
        self.flat = nn.Conv2d(channels, channels, kernel_size=(1, 3), padding=(0, 1))

    def forward(self, image):
        return self.square(image) + self.tall(image) + self.flat(image)


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, SIZE, SIZE)]


def get_init_inputs():
    return [CHANNELS]
