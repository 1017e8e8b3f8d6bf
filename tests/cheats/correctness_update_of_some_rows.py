# attack: C3 updates only the first rows of the cache that it is given
# task: running
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x, total):
        out = (total + x).mean(dim=-1)
        total[:-1].add_(x[:-1])
        return out
