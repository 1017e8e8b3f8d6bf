"""cdist accumulates each distance in registers; no (left, right, width) tensor."""

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        return torch.cdist(a, b, p=1.0)
