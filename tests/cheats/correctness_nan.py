# attack: C10 NaN everywhere, for comparisons that are false for NaN
# task: softmax
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.full_like(x, float('nan'))
