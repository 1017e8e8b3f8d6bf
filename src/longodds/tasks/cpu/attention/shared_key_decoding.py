"""A decoding step in which groups of query heads share one key and value head."""

import torch
import torch.nn as nn
import torch.nn.functional as F

SCALE = 1
BATCH = 2 * SCALE
KEY_HEADS = 2
GROUP = 6
CONTEXT = 1200
HEAD_DIM = 64


class Model(nn.Module):
    """Grouped-query attention: repeats keys and values so that every query head has its own copy."""

    def __init__(self, group):
        super().__init__()
        self.group = group

    def forward(self, query, key, value):
        key = key.repeat_interleave(self.group, dim=1)
        value = value.repeat_interleave(self.group, dim=1)
        return F.scaled_dot_product_attention(query, key, value)


def get_inputs():
    query = torch.randn(BATCH, KEY_HEADS * GROUP, 1, HEAD_DIM)
    key = torch.randn(BATCH, KEY_HEADS, CONTEXT, HEAD_DIM)
    value = torch.randn(BATCH, KEY_HEADS, CONTEXT, HEAD_DIM)
    return [query, key, value]


def get_init_inputs():
    return [GROUP]
