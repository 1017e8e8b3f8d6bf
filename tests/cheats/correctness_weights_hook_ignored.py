# attack: C6 takes the weights through the hook and leaves them alone
# task: linear_relu
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, features, width):
        super().__init__()
        self.inner = nn.Linear(features, width)

    def load_reference(self, tensors):
        self.seen = list(tensors)

    def forward(self, x):
        return torch.relu(self.inner(x))
