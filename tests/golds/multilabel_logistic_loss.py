import torch
import torch.nn as nn
import torch.nn.functional as F


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, logits, targets):
        # The library call fuses the clamp, the exponential and the logarithm.
        return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=1)
