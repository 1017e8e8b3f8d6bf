"""Evaluate a learned polynomial of degree five at every entry of a matrix."""

import torch
import torch.nn as nn

SCALE = 1
ROWS = 768 * SCALE
COLS = 1024
DEGREE = 5


class Model(nn.Module):
    """y = sum over k of coefficients[k] * x ** k."""

    def __init__(self, degree):
        super().__init__()
        self.coefficients = nn.Parameter(0.5 * torch.randn(degree + 1))

    def forward(self, x):
        total = torch.zeros_like(x)
        for k, coefficient in enumerate(self.coefficients):
            total = total + coefficient * x**k
        return total


def get_inputs():
    return [torch.randn(ROWS, COLS)]


def get_init_inputs():
    return [DEGREE]
