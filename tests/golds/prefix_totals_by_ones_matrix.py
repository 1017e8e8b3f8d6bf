import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, table):
        # A product with a triangle of ones is a cumulative sum: linear instead of quadratic work.
        return torch.cumsum(table, dim=0)
