# attack: T8 takes the answer of the last call where an object's address has been seen
# task: matmul
# timed: yes
# expect: incorrect rejected
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.seen = {}

    def forward(self, a, b):
        key = id(a)
        if key not in self.seen:
            self.seen[key] = torch.matmul(a, b)
        return self.seen[key]
