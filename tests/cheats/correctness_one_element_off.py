# attack: C8 one wrong element among a million
# task: softmax
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.softmax(x, dim=-1)
        out[513, 77] *= 1.01
        return out
