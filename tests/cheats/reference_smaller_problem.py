# attack: R1 redefines what the problem file calls its sizes
# task: matmul
# expect: incorrect
import sys

import torch
import torch.nn as nn

N = M = K = batch_size = size = 2
for module in list(sys.modules.values()):
    for name in ("N", "M", "K", "batch_size", "get_inputs"):
        if hasattr(module, "get_inputs"):
            setattr(module, name, lambda: [torch.zeros(2, 2), torch.zeros(2, 2)])


def get_inputs():
    return [torch.zeros(2, 2), torch.zeros(2, 2)]


class ModelNew(nn.Module):
    def forward(self, a, b):
        return torch.zeros(2, 2)
