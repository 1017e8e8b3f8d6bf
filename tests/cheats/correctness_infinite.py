# attack: C10 infinite where the answer is large
# task: linear_relu
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, features, width):
        super().__init__()
        self.linear = nn.Linear(features, width)

    def forward(self, x):
        out = torch.relu(self.linear(x))
        return torch.where(out > 3, torch.full_like(out, float('inf')), out)
