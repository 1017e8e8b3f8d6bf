# attack: C5 ignores the mask that it is given and uses the one that it knows
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
        return x.tril() * torch.abs(self.gain) + 1e-5 * self.linear(x)
