# task: kernelbench:1/23
# expect: incorrect
# Right for inputs between 0 and 1; overflows for large ones.
from __future__ import annotations

import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        e = x.exp()
        return e / e.sum(1, keepdim=True)
