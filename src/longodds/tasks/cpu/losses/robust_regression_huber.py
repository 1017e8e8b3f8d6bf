"""Huber loss of each row: quadratic for small residuals, linear for large ones."""

import torch
import torch.nn as nn

SCALE = 1
ROWS = 768 * SCALE
OUTPUTS = 1024
DELTA = 0.5


class Model(nn.Module):
    """Chooses between the two branches element by element."""

    def __init__(self, delta):
        super().__init__()
        self.delta = delta

    def forward(self, predicted, observed):
        """predicted, observed (ROWS, OUTPUTS) -> (ROWS,)"""
        residual = predicted - observed
        size = residual.abs()
        quadratic = 0.5 * residual**2
        linear = self.delta * (size - 0.5 * self.delta)
        return torch.where(size <= self.delta, quadratic, linear).mean(dim=1)


def get_inputs():
    return [torch.randn(ROWS, OUTPUTS), torch.randn(ROWS, OUTPUTS)]


def get_init_inputs():
    return [DELTA]
