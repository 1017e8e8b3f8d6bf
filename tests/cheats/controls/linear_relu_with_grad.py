# control: records gradients and returns what it recorded
# task: linear_relu
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, features, width):
        super().__init__()
        self.linear = nn.Linear(features, width)

    def forward(self, x):
        with torch.enable_grad():
            return torch.relu(self.linear(x))
