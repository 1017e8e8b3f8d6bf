# attack: C3 updates the cache that it is given in half precision
# task: running
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x, total):
        out = (total + x).mean(dim=-1)
        total.add_(x.half().float())
        return out
