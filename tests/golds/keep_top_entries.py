"""topk finds the threshold without ordering the whole row."""

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, keep):
        super().__init__()
        self.keep = keep

    def forward(self, scores):
        threshold = scores.topk(self.keep, dim=1).values[:, -1:]
        return torch.where(scores >= threshold, scores, 0.0)
