# attack: C1 the answer to the call before
# task: softmax
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = None

    def forward(self, x):
        last, self.last = self.last, torch.softmax(x, dim=-1)
        return self.last if last is None else last
