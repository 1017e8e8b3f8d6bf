"""Mean of all earlier and present steps at every step of a sequence."""

import torch
import torch.nn as nn

SCALE = 1
BATCH = 24 * SCALE
STEPS = 256
FEATURES = 32


class Model(nn.Module):
    """Averages a growing prefix of the sequence."""

    def __init__(self):
        super().__init__()

    def forward(self, x):
        """x (BATCH, STEPS, FEATURES) -> (BATCH, STEPS, FEATURES)"""
        means = []
        for t in range(x.shape[1]):
            means.append(x[:, : t + 1].mean(dim=1))
        return torch.stack(means, dim=1)


def get_inputs():
    return [torch.randn(BATCH, STEPS, FEATURES)]


def get_init_inputs():
    return []
