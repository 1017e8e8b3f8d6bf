"""Composite a stack of translucent image layers back to front over a background."""

import torch
import torch.nn as nn

SCALE = 1
LAYERS = 6
HEIGHT = 256 * SCALE
WIDTH = 256


class Model(nn.Module):
    """canvas <- alpha * layer + (1 - alpha) * canvas, for each layer in turn."""

    def __init__(self):
        super().__init__()

    def forward(self, background, layers, alphas):
        canvas = background
        for layer, alpha in zip(layers, alphas):
            canvas = alpha * layer + (1.0 - alpha) * canvas
        return canvas


def get_inputs():
    background = torch.rand(3, HEIGHT, WIDTH)
    layers = torch.rand(LAYERS, 3, HEIGHT, WIDTH)
    alphas = torch.rand(LAYERS, 1, HEIGHT, WIDTH)
    return [background, layers, alphas]


def get_init_inputs():
    return []
