# control: weights taken through the hook into a transposed layout
# task: linear_relu
# timed: yes
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, features, width):
        super().__init__()
        self.register_buffer("packed", torch.zeros(features, width))
        self.register_buffer("offset", torch.zeros(width))

    def load_reference(self, tensors):
        self.packed.copy_(tensors["linear.weight"].t())
        self.offset.copy_(tensors["linear.bias"])

    def forward(self, x):
        out = x @ self.packed
        return out.add_(self.offset).relu_()
