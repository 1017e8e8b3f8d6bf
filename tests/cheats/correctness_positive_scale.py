# attack: C6 takes a scale that starts at one for positive
# task: layernorm
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, x):
        return nn.functional.layer_norm(x, x.shape[-1:], self.weight.abs(), self.bias)
