# control: the reference itself under the other name
# task: linear_relu
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    """A linear layer whose bias starts at zero, then relu."""

    def __init__(self, features, width):
        super().__init__()
        self.linear = nn.Linear(features, width)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x):
        return torch.relu(self.linear(x))


def get_inputs():
    return [torch.randn(512, 384)]


def get_init_inputs():
    return [384, 384]
