"""Squared Mahalanobis distance of every sample from a learned centre."""

import torch
import torch.nn as nn

SCALE = 1
SAMPLES = 1024 * SCALE
DIM = 192


class Model(nn.Module):
    """Diagonal of (X - centre) P (X - centre)^T, halved."""

    def __init__(self, dim):
        super().__init__()
        self.centre = nn.Parameter(torch.randn(dim))
        self.precision = nn.Parameter(torch.eye(dim) + torch.randn(dim, dim) / dim)

    def forward(self, samples):
        """samples (SAMPLES, DIM) -> (SAMPLES,)"""
        offset = samples - self.centre
        energy = offset @ self.precision @ offset.T
        return 0.5 * torch.diag(energy)


def get_inputs():
    return [torch.randn(SAMPLES, DIM)]


def get_init_inputs():
    return [DIM]
