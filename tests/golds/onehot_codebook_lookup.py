"""A product with a one-hot matrix is a row lookup."""

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, codes, width):
        super().__init__()
        self.codebook = nn.Parameter(torch.randn(codes, width))

    def forward(self, codes):
        return self.codebook.index_select(0, codes)
