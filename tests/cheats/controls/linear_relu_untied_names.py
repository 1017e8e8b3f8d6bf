# control: other names, and tensors that the reference does not have
# task: linear_relu
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, features, width):
        super().__init__()
        self.kernel = nn.Parameter(torch.zeros(width, features))
        self.offset = nn.Parameter(torch.zeros(width))
        self.register_buffer('extra', torch.zeros(1))

    def forward(self, x):
        return torch.relu(x @ self.kernel.t() + self.offset) + self.extra
