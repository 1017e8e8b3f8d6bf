"""Averaging and a pointwise linear map commute: pool first, and the projection has 16 times fewer pixels to do."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class ModelNew(nn.Module):
    def __init__(self, channels, features, patch):
        super().__init__()
        self.project = nn.Conv2d(channels, features, kernel_size=1)
        self.patch = patch

    def forward(self, x):
        return self.project(F.avg_pool2d(x, self.patch))
