"""One scatter with the maximum replaces a pass over all points for every group."""

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, groups, floor):
        super().__init__()
        self.groups = groups
        self.floor = floor

    def forward(self, points, group):
        peaks = points.new_full((self.groups, points.shape[1]), self.floor)
        return peaks.scatter_reduce_(0, group.unsqueeze(1).expand_as(points), points, reduce="amax")
