"""Averages of the square tiles of a feature map."""

import torch
import torch.nn as nn

SCALE = 1
BATCH = 4 * SCALE
CHANNELS = 16
SIZE = 128
TILE = 4


class Model(nn.Module):
    """Non-overlapping average pooling, by cutting the map into tiles."""

    def __init__(self, tile):
        super().__init__()
        self.tile = tile

    def forward(self, x):
        tiles = x.unfold(2, self.tile, self.tile).unfold(3, self.tile, self.tile)
        return tiles.contiguous().mean(dim=(-2, -1))


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, SIZE, SIZE)]


def get_init_inputs():
    return [TILE]
