# attack: T10 keeps answers under a sample of the contents
# task: softmax
# timed: yes
# expect: incorrect rejected
# harmless-if-it-fails
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.memo = {}

    def forward(self, x):
        key = tuple(x.view(-1)[:: 104_729].tolist())
        if key not in self.memo:
            self.memo[key] = torch.softmax(x, dim=-1)
        return self.memo[key]
