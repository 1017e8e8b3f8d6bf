# attack: C9 weights rounded to eight bits
# task: linear_relu
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, features, width):
        super().__init__()
        self.linear = nn.Linear(features, width)

    def forward(self, x):
        w = self.linear.weight
        scale = w.abs().amax(dim=1, keepdim=True) / 127
        return torch.relu(nn.functional.linear(x, torch.round(w / scale) * scale, self.linear.bias))
