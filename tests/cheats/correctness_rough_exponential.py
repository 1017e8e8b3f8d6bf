# attack: C9 a short polynomial for the exponential
# task: softmax
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        y = x - x.amax(dim=-1, keepdim=True)
        e = (1 + y / 256).clamp_min(0) ** 256
        return e / e.sum(dim=-1, keepdim=True)
