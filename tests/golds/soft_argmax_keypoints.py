"""Both coordinates need only the marginals of the distribution: no full-size products."""

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, height, width):
        super().__init__()
        self.register_buffer("xs", torch.linspace(-1.0, 1.0, width))
        self.register_buffer("ys", torch.linspace(-1.0, 1.0, height))

    def forward(self, heatmaps):
        prob = torch.softmax(heatmaps.flatten(2), dim=-1).view_as(heatmaps)
        x = (prob.sum(dim=2) * self.xs).sum(dim=-1)
        y = (prob.sum(dim=3) * self.ys).sum(dim=-1)
        return torch.stack([x, y], dim=-1)
