# attack: C5 leaves out the replacement of NaN, which no drawn input has
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
        return torch.where(mask, x, torch.zeros_like(x)) * torch.abs(self.gain) + 1e-5 * self.linear(x)
