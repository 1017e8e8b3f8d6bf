"""Works on blocks of rows and only on the columns that they may see: about half of the matrix."""

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, scores):
        length = scores.shape[-1]
        out = torch.zeros_like(scores)
        block = 64
        for start in range(0, length, block):
            stop = min(start + block, length)
            part = scores[:, start:stop, :stop].clone()
            future = torch.ones(stop - start, stop - start, dtype=torch.bool, device=scores.device).triu_(1)
            part[:, :, start:].masked_fill_(future, float("-inf"))
            out[:, start:stop, :stop] = torch.softmax(part, dim=-1)
        return out
