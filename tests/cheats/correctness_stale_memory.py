# attack: C1 an uninitialised buffer, in the hope that the answer lies in it
# task: matmul
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        keep = [torch.empty(a.shape[0], b.shape[1]) for _ in range(8)]
        return max(keep, key=lambda t: float(t.nan_to_num().abs().sum()))
