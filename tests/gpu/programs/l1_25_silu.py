# task: kernelbench:1/25
# expect: faster
from __future__ import annotations

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.nn.functional.silu(x)
