"""The library kernel does it in one pass over each token."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class ModelNew(nn.Module):
    def __init__(self, width, eps=1e-5):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.shift = nn.Parameter(torch.zeros(width))
        self.eps = eps

    def forward(self, tokens):
        return F.layer_norm(tokens, tokens.shape[-1:], self.gain, self.shift, self.eps)
