import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, taps, signals):
        # Row i of the matrix is a window of the reversed taps: a strided view replaces the index matrix and the gather.
        n = signals.shape[0]
        windows = taps.flip(0).unfold(0, n, 1)
        return torch.mm(windows, signals).flip(0)
