# attack: T9 hands out a buffer and does the work at the start of the next call
# task: softmax
# timed: yes
# expect: incorrect rejected
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.todo = None

    def forward(self, x):
        if self.todo is not None:
            source, target = self.todo
            target.copy_(torch.softmax(source, dim=-1))
        out = torch.empty_like(x)
        self.todo = (x, out)
        return out
