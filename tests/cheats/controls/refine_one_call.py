# control: the correction folded into one call
# task: refine
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.linear = nn.Linear(features, features)

    def forward(self, x):
        shifted = x + 1e-4 * self.linear.bias
        return torch.addmm(shifted, x, self.linear.weight.t(), alpha=1e-4)
