# task: kernelbench:2/18
# expect: faster
# All that follows the sum leaves a single number as it is, and a sum of products is a product with the sum.
from __future__ import annotations

import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x):
        return x @ self.linear.weight.sum(0).unsqueeze(1) + self.linear.bias.sum()
