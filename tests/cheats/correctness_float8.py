# attack: C9 rounds the weights to eight bits of floating point
# task: linear_relu
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, features, width):
        super().__init__()
        self.linear = nn.Linear(features, width)

    def forward(self, x):
        return torch.relu(nn.functional.linear(x, self.linear.weight.to(torch.float8_e4m3fn).float(), self.linear.bias))
