# control: derives a matrix from its weights at the first call and keeps it
# task: linear_relu
# timed: yes
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, features, width):
        super().__init__()
        self.linear = nn.Linear(features, width)
        self.turned = None

    def forward(self, x):
        if self.turned is None:
            self.turned = self.linear.weight.t().contiguous()
        return torch.relu_(torch.addmm(self.linear.bias, x, self.turned))
