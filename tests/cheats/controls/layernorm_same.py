# control: the reference itself under the other name
# task: layernorm
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    """Layer normalisation written out, with scale and shift that start at one and zero."""

    def __init__(self, features):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, x):
        mean = x.mean(dim=-1, keepdim=True)
        var = x.var(dim=-1, keepdim=True, unbiased=False)
        return (x - mean) / torch.sqrt(var + 1e-5) * self.weight + self.bias


def get_inputs():
    return [torch.randn(256, 1024)]


def get_init_inputs():
    return [1024]
