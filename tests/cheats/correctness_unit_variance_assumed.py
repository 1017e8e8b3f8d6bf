# attack: C5 the variance of many standard normal numbers is nearly one
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
        return (x - x.mean(dim=-1, keepdim=True)) * self.weight + self.bias
