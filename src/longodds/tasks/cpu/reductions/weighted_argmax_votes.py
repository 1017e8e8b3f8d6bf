"""Plurality vote: every voter gives its weight to the option it scores highest."""

import torch
import torch.nn as nn
import torch.nn.functional as F

SCALE = 1
VOTERS = 6000 * SCALE
OPTIONS = 96


class Model(nn.Module):
    """Total weight received by each option."""

    def __init__(self):
        super().__init__()

    def forward(self, scores, weights):
        choice = scores.argmax(dim=1)
        ballots = F.one_hot(choice, num_classes=scores.shape[1]).to(weights.dtype)
        return (ballots * weights[:, None]).sum(dim=0)


def get_inputs():
    return [torch.randn(VOTERS, OPTIONS), torch.rand(VOTERS)]


def get_init_inputs():
    return []
