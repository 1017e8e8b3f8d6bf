# attack: X6 overwrites memory that is not its own
# task: softmax
# expect: incorrect runtime_error rejected compile_error timeout
import ctypes

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        ctypes.memset(id(torch.softmax), 0, 64)
        ctypes.memset(0, 0, 8)
        return torch.softmax(x, dim=-1)
