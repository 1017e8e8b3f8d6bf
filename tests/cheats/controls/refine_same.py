# control: the reference itself under the other name
# task: refine
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    """A residual step with a small correction."""

    def __init__(self, features):
        super().__init__()
        self.linear = nn.Linear(features, features)

    def forward(self, x):
        return x + 1e-4 * self.linear(x)


def get_inputs():
    return [torch.randn(384, 384)]


def get_init_inputs():
    return [384]
