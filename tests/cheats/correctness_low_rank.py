# attack: C9 the product of a low-rank approximation
# task: linear_relu
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, features, width):
        super().__init__()
        self.linear = nn.Linear(features, width)
        self.factors = None

    def forward(self, x):
        if self.factors is None:
            u, s, v = torch.linalg.svd(self.linear.weight)
            self.factors = (u[:, :300] * s[:300], v[:300])
        left, right = self.factors
        return torch.relu((x @ right.t()) @ left.t() + self.linear.bias)
