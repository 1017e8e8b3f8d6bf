"""The library's pooling reads the map once and copies nothing."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class ModelNew(nn.Module):
    def __init__(self, tile):
        super().__init__()
        self.tile = tile

    def forward(self, x):
        return F.avg_pool2d(x, self.tile)
