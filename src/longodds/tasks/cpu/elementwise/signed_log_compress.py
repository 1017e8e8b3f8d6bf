"""Compress a signal symmetrically around zero: sign(x) * log(1 + mu * |x|), scaled by log(1 + mu)."""

import math

import torch
import torch.nn as nn

SCALE = 1
CHANNELS = 64 * SCALE
SAMPLES = 22050
MU = 255.0


class Model(nn.Module):
    """Mu-law companding without the quantisation step."""

    def __init__(self, mu):
        super().__init__()
        self.mu = mu

    def forward(self, wave):
        magnitude = torch.log1p(self.mu * torch.abs(wave)) / math.log1p(self.mu)
        return torch.sign(wave) * magnitude


def get_inputs():
    return [torch.randn(CHANNELS, SAMPLES)]


def get_init_inputs():
    return [MU]
