# attack: C9 half precision in one row of the answer
# task: matmul
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        out = a @ b
        out[7] = (a[7:8].half().float() @ b)[0]
        return out
