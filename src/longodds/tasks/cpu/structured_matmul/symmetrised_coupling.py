"""Apply the symmetric part of a coupling matrix to a set of states."""

import torch
import torch.nn as nn

SCALE = 1
SITES = 640
STATES = 640 * SCALE


class Model(nn.Module):
    """Learned coupling, symmetrised before use."""

    def __init__(self, sites):
        super().__init__()
        self.coupling = nn.Parameter(torch.randn(sites, sites) / sites**0.5)

    def forward(self, states):
        """states (SITES, STATES) -> (SITES, STATES)"""
        symmetric = 0.5 * (self.coupling + self.coupling.T)
        return symmetric @ states


def get_inputs():
    return [torch.randn(SITES, STATES)]


def get_init_inputs():
    return [SITES]
