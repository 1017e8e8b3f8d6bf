"""Gathers the rows of the weight that are needed and takes only those inner products."""

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        self.output = nn.Linear(width, classes)

    def forward(self, hidden, candidates):
        weight = self.output.weight[candidates]
        bias = self.output.bias[candidates]
        return torch.baddbmm(bias.unsqueeze(-1), weight, hidden.unsqueeze(-1)).squeeze(-1)
