# attack: C9 is off by a little in every element, below the largest error allowed to any
# task: softmax
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1) * (1 + 4e-6)
