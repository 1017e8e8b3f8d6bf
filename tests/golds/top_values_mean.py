"""Only the k largest are needed, in any order."""

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, k):
        super().__init__()
        self.k = k

    def forward(self, activations):
        largest, _ = activations.topk(self.k, dim=1, sorted=False)
        return largest.mean(dim=1)
