import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, gains, signals):
        # diag(g) @ S scales row i by g[i]: one multiplication an element instead of a product.
        return gains.unsqueeze(1) * signals
