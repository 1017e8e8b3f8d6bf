# attack: C9 changes every matrix product to half precision below Python, for good
# task: linear_relu
# expect: incorrect
from torch.utils._python_dispatch import TorchDispatchMode

import torch
import torch.nn as nn


class Half(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.addmm.default:
            args = tuple(a.bfloat16().float() for a in args)
        return func(*args, **(kwargs or {}))


Half().__enter__()


class ModelNew(nn.Module):
    def __init__(self, features, width):
        super().__init__()
        self.linear = nn.Linear(features, width)

    def forward(self, x):
        return torch.relu(self.linear(x))
