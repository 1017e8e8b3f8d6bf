"""Scale each point once instead of each pair, and let cdist add up the squares without the tensor of offsets."""

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, centres, width):
        super().__init__()
        self.centres = nn.Parameter(torch.randn(centres, width))
        self.length_scale = nn.Parameter(torch.full((width,), 5.0))

    def forward(self, points):
        left = points / self.length_scale
        right = self.centres / self.length_scale
        distance = torch.cdist(left, right, compute_mode="donot_use_mm_for_euclid_dist")
        return distance.square_().mul_(-0.5).exp_()
