"""A matrix product of flattened patches and templates: the elementwise products are never stored."""

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, templates, side):
        super().__init__()
        self.templates = nn.Parameter(torch.randn(templates, side, side))

    def forward(self, patches):
        return patches.flatten(1) @ self.templates.flatten(1).t()
