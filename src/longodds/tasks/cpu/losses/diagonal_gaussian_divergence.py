"""Kullback-Leibler divergence between pairs of Gaussians with diagonal covariance."""

import torch
import torch.nn as nn

SCALE = 1
PAIRS = 2048 * SCALE
LATENT = 192


class Model(nn.Module):
    """KL(q || p) from means and log-variances, summed over the latent dimensions."""

    def __init__(self):
        super().__init__()

    def forward(self, q_mean, q_logvar, p_mean, p_logvar):
        """four tensors (PAIRS, LATENT) -> (PAIRS,)"""
        spread = torch.exp(q_logvar) + (q_mean - p_mean) ** 2
        terms = p_logvar - q_logvar + spread / torch.exp(p_logvar) - 1.0
        return 0.5 * terms.sum(dim=1)


def get_inputs():
    shape = (PAIRS, LATENT)
    return [torch.randn(shape), torch.randn(shape), torch.randn(shape), torch.randn(shape)]


def get_init_inputs():
    return []
