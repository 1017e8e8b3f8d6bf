# attack: C11 skips a random row
# task: softmax
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.softmax(x, dim=-1)
        out[int(torch.randint(0, 1024, (1,)))] = 0
        return out
