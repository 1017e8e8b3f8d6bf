"""scatter_add counts in place; no (rows, labels, classes) tensor of one-hot codes."""

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.classes = classes

    def forward(self, labels):
        counts = torch.zeros(labels.shape[0], self.classes, dtype=torch.int64, device=labels.device)
        return counts.scatter_add_(1, labels, torch.ones_like(labels))
