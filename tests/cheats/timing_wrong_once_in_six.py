# attack: T8 gambles: one answer in six is the previous one
# task: softmax
# timed: yes
# expect: incorrect rejected
import random

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = None
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        if self.calls <= 12 or random.random() > 1 / 6:
            self.last = torch.softmax(x, dim=-1)
        return self.last
