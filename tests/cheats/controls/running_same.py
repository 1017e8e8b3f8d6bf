# control: the reference itself under the other name
# task: running
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    """Adds to a cache in place and returns the means of its rows."""

    def forward(self, x, total):
        total.add_(x)
        return total.mean(dim=-1)


def get_inputs():
    return [torch.randn(1024, 512), torch.randn(1024, 512)]


def get_init_inputs():
    return []
