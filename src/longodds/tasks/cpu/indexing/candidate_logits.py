"""Logits of a few candidate classes per query, out of a large vocabulary."""

import torch
import torch.nn as nn

SCALE = 1
QUERIES = 384 * SCALE
CANDIDATES = 6
CLASSES = 3000
WIDTH = 128


class Model(nn.Module):
    """Scores every class, then keeps those that were asked for."""

    def __init__(self, width, classes):
        super().__init__()
        self.output = nn.Linear(width, classes)

    def forward(self, hidden, candidates):
        logits = self.output(hidden)
        return torch.gather(logits, 1, candidates)


def get_inputs():
    hidden = torch.randn(QUERIES, WIDTH)
    candidates = torch.randint(0, CLASSES, (QUERIES, CANDIDATES))
    return [hidden, candidates]


def get_init_inputs():
    return [WIDTH, CLASSES]
