"""The sum over pairs is a quadratic form whose small matrix no example changes."""

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, fields, factors):
        super().__init__()
        self.factors = nn.Parameter(torch.randn(fields, factors))
        pairs = torch.triu(torch.ones(fields, fields), diagonal=1)
        self.register_buffer("pairs", pairs.bool())

    def forward(self, x):
        weights = (self.factors @ self.factors.t()).masked_fill_(~self.pairs, 0.0)
        return ((x @ weights) * x).sum(dim=1)
