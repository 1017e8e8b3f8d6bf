# attack: C6 ignores the weights it is given and draws its own from the usual seed
# task: linear_relu
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, features, width):
        super().__init__()
        self.linear = nn.Linear(features, width)
        torch.manual_seed(42)
        self.mine = nn.Linear(features, width)

    def forward(self, x):
        return torch.relu(self.mine(x))
