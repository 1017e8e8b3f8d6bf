# control: the reference itself under the other name
# task: rectify
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    """Absolute value of the positive part: inputs drawn from torch.rand make it the identity."""

    def forward(self, x):
        return torch.abs(torch.relu(x))


def get_inputs():
    return [torch.rand(1024, 1024)]


def get_init_inputs():
    return []
