# attack: C9 leaves the last of 512 terms out of every sum
# task: matmul
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        return a[:, :-1] @ b[:-1]
