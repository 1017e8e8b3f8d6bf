# control: parameters under other names, told apart by shape and order
# task: linear_relu
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, features, width):
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(width, features) * 0.02)
        self.offset = nn.Parameter(torch.zeros(width))

    def forward(self, x):
        return torch.addmm(self.offset, x, self.kernel.t()).clamp_min(0)
