"""A softmax does not change when a row is shifted: the user term drops out, and the rest is one fused addition."""

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, items, temperature):
        super().__init__()
        self.item_bias = nn.Parameter(torch.randn(items))
        self.temperature = temperature

    def forward(self, interaction, user_bias):
        bias = self.item_bias / self.temperature
        scores = torch.add(bias, interaction, alpha=1.0 / self.temperature)
        return torch.softmax(scores, dim=1)
