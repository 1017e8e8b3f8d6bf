import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, v, m):
        # H M = M - v (2 v^T M / v^T v): a rank-one update.
        row = (v @ m) * (2.0 / torch.dot(v, v))
        return torch.addr(m, v, row, alpha=-1)
