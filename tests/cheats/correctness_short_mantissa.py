# attack: C9 inputs cut to the ten bits of tensor cores
# task: matmul
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        def cut(t):
            return ((t.view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)

        return cut(a) @ cut(b)
