"""amax and amin do not track indices, so they vectorise."""

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, table):
        return 0.5 * (table.amax(dim=1) + table.amin(dim=1))
