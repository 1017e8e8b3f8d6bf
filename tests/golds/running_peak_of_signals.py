import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, signal):
        # A running maximum is one library call.
        return torch.cummax(signal, dim=1).values
