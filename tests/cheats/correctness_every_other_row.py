# attack: C8 computes even rows and takes odd ones for their neighbours' mean
# task: softmax
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        even = torch.softmax(x[::2], dim=-1)
        out = torch.empty_like(x)
        out[::2] = even
        out[1:-1:2] = (even[:-1] + even[1:]) / 2
        out[-1] = even[-1]
        return out
