"""A maximum of maxima is a maximum: 5x5 windows applied twice and three times give 9x9 and 13x13."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class ModelNew(nn.Module):
    def forward(self, x):
        small = F.max_pool2d(x, kernel_size=5, stride=1, padding=2)
        medium = F.max_pool2d(small, kernel_size=5, stride=1, padding=2)
        large = F.max_pool2d(medium, kernel_size=5, stride=1, padding=2)
        return torch.cat([x, small, medium, large], dim=1)
