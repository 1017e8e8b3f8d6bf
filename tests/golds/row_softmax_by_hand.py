"""One library kernel."""

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, logits):
        return torch.softmax(logits, dim=1)
