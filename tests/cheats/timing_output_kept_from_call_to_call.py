# attack: T14 answers every call in one buffer and fills only half of it anew
# task: softmax
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = None
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        if self.out is None:
            self.out = torch.softmax(x, dim=-1)
        rows = slice(0, 512) if self.calls % 2 else slice(512, 1024)
        self.out[rows] = torch.softmax(x[rows], dim=-1)
        return self.out
