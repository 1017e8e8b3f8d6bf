"""Standardise every column of a data matrix to zero mean and unit spread."""

import torch
import torch.nn as nn

SCALE = 1
SAMPLES = 2000 * SCALE
FEATURES = 400


class Model(nn.Module):
    """(x - mean) / (std + eps), column by column, with the unbiased standard deviation."""

    def __init__(self, eps):
        super().__init__()
        self.eps = eps

    def forward(self, data):
        centre = data.mean(dim=0)
        spread = data.std(dim=0)
        return (data - centre) / (spread + self.eps)


def get_inputs():
    return [torch.randn(SAMPLES, FEATURES)]


def get_init_inputs():
    return [1e-3]
