"""Match image patches against a few learned templates: the sum of the elementwise product with each."""

import torch
import torch.nn as nn

SCALE = 1
PATCHES = 200 * SCALE
SIDE = 56
TEMPLATES = 6


class Model(nn.Module):
    """(patches, side, side) -> (patches, templates)."""

    def __init__(self, templates, side):
        super().__init__()
        self.templates = nn.Parameter(torch.randn(templates, side, side))

    def forward(self, patches):
        products = patches.unsqueeze(1) * self.templates
        return products.sum(dim=(2, 3))


def get_inputs():
    return [torch.randn(PATCHES, SIDE, SIDE)]


def get_init_inputs():
    return [TEMPLATES, SIDE]
