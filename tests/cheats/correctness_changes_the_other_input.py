# attack: C3 changes an input that the reference leaves alone, beside the one that it changes
# task: running
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x, total):
        total.add_(x)
        out = total.mean(dim=-1)
        x[0, 0] = 0
        return out
