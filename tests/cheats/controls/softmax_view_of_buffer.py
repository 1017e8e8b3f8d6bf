# control: returns a fresh view of a larger buffer of its own
# task: softmax
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.buffer = torch.empty(2, 1024, 1024)

    def forward(self, x):
        torch.softmax(x, dim=-1, out=self.buffer[1])
        return self.buffer[1]
