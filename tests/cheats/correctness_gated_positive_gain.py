# attack: C6 takes a parameter for positive because it starts at one
# task: gated
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(features))
        self.linear = nn.Linear(features, features)

    def forward(self, x, mask):
        x = torch.nan_to_num(x)
        return torch.where(mask, x, torch.zeros_like(x)) * self.gain + 1e-5 * self.linear(x)
