# task: kernelbench:1/38
# expect: incorrect
# The inputs shown by the problem are positive; the norm is of absolute values all the same.
from __future__ import annotations

import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        return x / x.mean(1, keepdim=True)
