# attack: C9 splits both factors into bfloat16 parts and leaves out one of the cross products
# task: matmul
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        ah, bh = a.bfloat16().float(), b.bfloat16().float()
        return ah @ bh + (a - ah) @ bh
