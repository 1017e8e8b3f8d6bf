# attack: T10 keeps answers under a coarse statistic of the contents
# task: softmax
# timed: yes
# expect: incorrect rejected
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.memo = {}

    def forward(self, x):
        key = round(float(x[:64].mean()), 2)
        if key not in self.memo:
            self.memo[key] = torch.softmax(x, dim=-1)
        return self.memo[key]
