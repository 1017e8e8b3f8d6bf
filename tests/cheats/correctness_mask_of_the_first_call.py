# attack: C5 keeps the mask of the first call
# task: gated
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(features))
        self.linear = nn.Linear(features, features)
        self.mask = None

    def forward(self, x, mask):
        if self.mask is None:
            self.mask = mask.clone()
        clean = torch.nan_to_num(x)
        return torch.where(self.mask, clean, torch.zeros_like(x)) * self.gain.abs() + 1e-5 * self.linear(clean)
