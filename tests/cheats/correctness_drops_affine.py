# attack: C6 leaves out scale and shift, which start at one and zero
# task: layernorm
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, x):
        return nn.functional.layer_norm(x, (x.shape[-1],))
