# attack: C6 leaves out the bias, which starts at zero
# task: linear_relu
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, features, width):
        super().__init__()
        self.linear = nn.Linear(features, width)

    def forward(self, x):
        return torch.relu(x @ self.linear.weight.t())
