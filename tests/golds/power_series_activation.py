"""Horner's rule: no powers, one buffer."""

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, degree):
        super().__init__()
        self.coefficients = nn.Parameter(0.5 * torch.randn(degree + 1))

    def forward(self, x):
        *lower, top = self.coefficients.tolist()
        total = x * top
        for coefficient in reversed(lower[1:]):
            total.add_(coefficient).mul_(x)
        return total.add_(lower[0])
