import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, groups, group_width):
        super().__init__()
        self.blocks = nn.Parameter(torch.randn(groups, group_width, group_width) / group_width**0.5)
        self.bias = nn.Parameter(torch.randn(groups * group_width) * 0.1)

    def forward(self, tokens):
        # One small product for each group; the zeros between the blocks are never touched.
        groups, width, _ = self.blocks.shape
        x = tokens.view(-1, groups, width).transpose(0, 1)
        y = torch.bmm(x, self.blocks)
        return y.transpose(0, 1).reshape(tokens.shape).add_(self.bias)
