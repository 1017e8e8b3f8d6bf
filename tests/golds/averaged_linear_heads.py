"""The mean of linear maps is the linear map of the mean weights."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class ModelNew(nn.Module):
    def __init__(self, heads, features, classes):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(heads, classes, features) * features**-0.5)
        self.bias = nn.Parameter(torch.zeros(heads, classes))

    def forward(self, features):
        return F.linear(features, self.weight.mean(dim=0), self.bias.mean(dim=0))
