"""With s = x - max and Z = sum exp(s): entropy = log Z - sum(exp(s) s) / Z. One exponential pass, no cancellation."""

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, logits):
        shifted = logits - logits.amax(dim=-1, keepdim=True)
        weights = shifted.exp()
        total = weights.sum(dim=-1)
        return total.log() - weights.mul_(shifted).sum(dim=-1).div_(total)
