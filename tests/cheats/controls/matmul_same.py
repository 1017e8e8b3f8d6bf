# control: the reference itself under the other name
# task: matmul
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    """Product of two matrices."""

    def forward(self, a, b):
        return torch.matmul(a, b)


def get_inputs():
    return [torch.rand(384, 512), torch.rand(512, 384)]


def get_init_inputs():
    return []
