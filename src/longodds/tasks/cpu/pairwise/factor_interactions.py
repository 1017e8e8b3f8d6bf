"""Sum of the inner products of all pairs of feature embeddings of an example."""

import torch
import torch.nn as nn

SCALE = 1
BATCH = 512 * SCALE
FIELDS = 32
FACTORS = 16


class Model(nn.Module):
    """The second-order term of a factorization machine, over unordered pairs of fields."""

    def __init__(self, fields, factors):
        super().__init__()
        self.factors = nn.Parameter(torch.randn(fields, factors))
        pairs = torch.triu(torch.ones(fields, fields), diagonal=1)
        self.register_buffer("pairs", pairs.bool())

    def forward(self, x):
        embedded = x.unsqueeze(-1) * self.factors
        products = torch.bmm(embedded, embedded.transpose(1, 2))
        return products.masked_fill(~self.pairs, 0.0).sum(dim=(1, 2))


def get_inputs():
    return [torch.rand(BATCH, FIELDS)]


def get_init_inputs():
    return [FIELDS, FACTORS]
