# control: multiplies by the mask
# task: gated
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(features))
        self.linear = nn.Linear(features, features)

    def forward(self, x, mask):
        clean = torch.nan_to_num(x)
        return clean * mask * self.gain.abs() + 1e-5 * self.linear(clean)
