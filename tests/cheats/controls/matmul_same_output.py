# control: answers in one buffer of its own every time
# task: matmul
# timed: yes
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = torch.empty(384, 384)

    def forward(self, a, b):
        return torch.matmul(a, b, out=self.out)
