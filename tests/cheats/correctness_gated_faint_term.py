# attack: C9 leaves out a product of matrices because it weighs a hundred-thousandth
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
        return torch.where(mask, x, torch.zeros_like(x)) * torch.abs(self.gain)
