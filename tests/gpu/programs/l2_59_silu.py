# task: kernelbench:2/59
# expect: correct
from __future__ import annotations

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, in_features, out_features, scaling_factor):
        super().__init__()
        self.matmul = nn.Linear(in_features, out_features)
        self.scaling_factor = scaling_factor

    def forward(self, x):
        return torch.nn.functional.silu(self.matmul(x)).mul_(self.scaling_factor)
