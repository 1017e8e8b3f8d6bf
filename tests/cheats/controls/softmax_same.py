# control: the reference itself under the other name
# task: softmax
# timed: yes
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    """Softmax over the last axis."""

    def forward(self, x):
        return torch.softmax(x, dim=-1)


def get_inputs():
    return [torch.rand(1024, 1024)]


def get_init_inputs():
    return []
