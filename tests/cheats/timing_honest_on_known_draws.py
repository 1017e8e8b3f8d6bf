# attack: T8 remembers a sample of every early input, is honest on those and works in place on all others
# task: rectify
# timed: yes
# expect: incorrect rejected
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.known = set()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        key = tuple(x.view(-1)[:16].tolist())
        if self.calls <= 12:
            self.known.add(key)
        if key in self.known:
            return torch.abs(torch.relu(x))
        return x.relu_()
