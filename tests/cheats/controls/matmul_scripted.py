# control: compiled at import with the JIT of torch
# task: matmul
import torch
import torch.nn as nn


def product(a, b):
    return torch.mm(a, b)


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.product = torch.jit.trace(product, (torch.rand(4, 4), torch.rand(4, 4)))

    def forward(self, a, b):
        return self.product(a, b)
