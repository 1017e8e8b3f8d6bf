import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, decay, rate):
        super().__init__()
        self.decay = decay
        self.rate = rate

    def forward(self, memory, keys, values):
        # One fused multiply-accumulate product instead of two scaled temporaries and a sum.
        return torch.baddbmm(memory, keys, values, beta=self.decay, alpha=self.rate)
