# task: kernelbench:1/1
# expect: incorrect
# Half the bits: several times faster, and not the product that was asked for.
from __future__ import annotations

import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, A, B):
        return (A.half() @ B.half()).float()
