"""Score embeddings against one learned direction after scaling each to unit length."""

import torch
import torch.nn as nn
import torch.nn.functional as F

SCALE = 1
ITEMS = 4096 * SCALE
DIM = 384


class Model(nn.Module):
    """score[i] = <embedding[i] / |embedding[i]|, direction>."""

    def __init__(self, dim):
        super().__init__()
        self.direction = nn.Parameter(torch.randn(dim))

    def forward(self, embeddings):
        unit = F.normalize(embeddings, dim=1)
        return unit @ self.direction


def get_inputs():
    return [torch.randn(ITEMS, DIM)]


def get_init_inputs():
    return [DIM]
