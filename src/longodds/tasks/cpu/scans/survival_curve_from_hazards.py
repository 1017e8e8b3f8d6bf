"""Survival probability after each period from the hazard rates of the periods."""

import torch
import torch.nn as nn

SCALE = 1
SUBJECTS = 12288 * SCALE
PERIODS = 96


class Model(nn.Module):
    """Cumulative product of the chances to pass every period."""

    def __init__(self):
        super().__init__()

    def forward(self, hazard):
        """hazard (SUBJECTS, PERIODS) in [0, 1) -> (SUBJECTS, PERIODS)"""
        return torch.cumprod(1.0 - hazard, dim=1)


def get_inputs():
    return [0.1 * torch.rand(SUBJECTS, PERIODS)]


def get_init_inputs():
    return []
