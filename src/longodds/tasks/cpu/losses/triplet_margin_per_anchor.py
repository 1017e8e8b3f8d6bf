"""Triplet margin loss of every anchor, from Euclidean distances to a positive and a negative example."""

import torch
import torch.nn as nn

SCALE = 1
ANCHORS = 2560 * SCALE
EMBEDDING = 256


class Model(nn.Module):
    """relu(distance to positive - distance to negative + margin)"""

    def __init__(self, margin):
        super().__init__()
        self.margin = margin

    def forward(self, anchor, positive, negative):
        """anchor, positive, negative (ANCHORS, EMBEDDING) -> (ANCHORS,)"""
        to_positive = torch.sqrt(torch.sum((anchor - positive) ** 2, dim=1))
        to_negative = torch.sqrt(torch.sum((anchor - negative) ** 2, dim=1))
        return torch.relu(to_positive - to_negative + self.margin)


def get_inputs():
    return [
        torch.randn(ANCHORS, EMBEDDING),
        torch.randn(ANCHORS, EMBEDDING),
        torch.randn(ANCHORS, EMBEDDING),
    ]


def get_init_inputs():
    return [1.0]
