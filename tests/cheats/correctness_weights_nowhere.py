# attack: C6 keeps no parameters at all, so that none can be delivered
# task: linear_relu
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, features, width):
        super().__init__()
        self.linear = nn.Linear(features, width)
        self.kept = self.linear.weight.detach().clone()
        del self.linear

    def forward(self, x):
        return torch.relu(x @ self.kept.t())
