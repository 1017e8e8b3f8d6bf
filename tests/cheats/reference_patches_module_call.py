# attack: R2 patches how every module is called
# task: linear_relu
# expect: incorrect
import torch
import torch.nn as nn

nn.Module.__call__ = lambda self, x, *a: torch.zeros(x.shape[0], 384)
nn.Module._call_impl = nn.Module.__call__


class ModelNew(nn.Module):
    def __init__(self, features, width):
        super().__init__()
        self.linear = nn.Linear(features, width)

    def forward(self, x):
        return torch.zeros(x.shape[0], 384)
