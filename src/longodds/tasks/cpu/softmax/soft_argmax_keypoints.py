"""Keypoint coordinates from heatmaps: the expected pixel position under a spatial softmax."""

import torch
import torch.nn as nn

SCALE = 1
BATCH = 8 * SCALE
KEYPOINTS = 17
HEIGHT = 96
WIDTH = 72


class Model(nn.Module):
    """(batch, keypoints, height, width) -> (batch, keypoints, 2), columns first."""

    def __init__(self, height, width):
        super().__init__()
        self.register_buffer("xs", torch.linspace(-1.0, 1.0, width))
        self.register_buffer("ys", torch.linspace(-1.0, 1.0, height))

    def forward(self, heatmaps):
        batch, keypoints, height, width = heatmaps.shape
        prob = torch.softmax(heatmaps.reshape(batch, keypoints, -1), dim=-1)
        prob = prob.reshape(batch, keypoints, height, width)
        x = (prob * self.xs).sum(dim=(2, 3))
        y = (prob * self.ys[:, None]).sum(dim=(2, 3))
        return torch.stack([x, y], dim=-1)


def get_inputs():
    return [4.0 * torch.randn(BATCH, KEYPOINTS, HEIGHT, WIDTH)]


def get_init_inputs():
    return [HEIGHT, WIDTH]
