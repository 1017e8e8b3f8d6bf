# attack: C8 forgets the last row
# task: softmax
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.zeros_like(x)
        out[:-1] = torch.softmax(x[:-1], dim=-1)
        return out
