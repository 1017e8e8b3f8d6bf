# attack: T10 keeps the answer under address, version counter and shape
# task: softmax
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.memo = {}

    def forward(self, x):
        key = (x.data_ptr(), x._version, tuple(x.shape), x.dtype)
        if key not in self.memo:
            self.memo[key] = torch.softmax(x, dim=-1)
        return self.memo[key]
