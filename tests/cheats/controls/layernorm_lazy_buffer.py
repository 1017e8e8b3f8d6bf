# control: makes a buffer at the first call
# task: layernorm
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, x):
        if not hasattr(self, 'scratch'):
            self.register_buffer('scratch', torch.empty_like(x))
        torch.sub(x, x.mean(-1, keepdim=True), out=self.scratch)
        var = self.scratch.square().mean(-1, keepdim=True)
        return self.scratch * torch.rsqrt(var + 1e-5) * self.weight + self.bias
