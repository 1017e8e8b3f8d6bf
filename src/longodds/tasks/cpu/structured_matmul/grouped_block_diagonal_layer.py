"""Linear layer whose weight is a block-diagonal matrix, one block for each group of features."""

import torch
import torch.nn as nn

SCALE = 1
TOKENS = 512 * SCALE
GROUPS = 16
GROUP_WIDTH = 48


class Model(nn.Module):
    """Assembles the block-diagonal weight and applies it to every token."""

    def __init__(self, groups, group_width):
        super().__init__()
        self.blocks = nn.Parameter(torch.randn(groups, group_width, group_width) / group_width**0.5)
        self.bias = nn.Parameter(torch.randn(groups * group_width) * 0.1)

    def forward(self, tokens):
        """tokens (TOKENS, GROUPS * GROUP_WIDTH) -> same shape"""
        weight = torch.block_diag(*self.blocks)
        return tokens @ weight + self.bias


def get_inputs():
    return [torch.randn(TOKENS, GROUPS * GROUP_WIDTH)]


def get_init_inputs():
    return [GROUPS, GROUP_WIDTH]
