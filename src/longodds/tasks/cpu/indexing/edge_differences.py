"""Feature difference along every edge of a graph."""

import torch
import torch.nn as nn

SCALE = 1
NODES = 3000 * SCALE
EDGES = 16000 * SCALE
WIDTH = 96


class Model(nn.Module):
    """Gathers the features at both ends of each edge and subtracts them."""

    def forward(self, nodes, source, target):
        return nodes[source] - nodes[target]


def get_inputs():
    nodes = torch.randn(NODES, WIDTH)
    source = torch.randint(0, NODES, (EDGES,))
    target = torch.randint(0, NODES, (EDGES,))
    return [nodes, source, target]


def get_init_inputs():
    return []
