# attack: C9 half precision in an eighth of the sum
# task: matmul
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        k = a.shape[1] - a.shape[1] // 8
        return a[:, :k] @ b[:k] + (a[:, k:].bfloat16() @ b[k:].bfloat16()).float()
