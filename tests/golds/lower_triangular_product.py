import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, first, second):
        # Row block i of a lower-triangular product needs only the columns and rows up to its own end: skip the zeros.
        n = first.shape[0]
        a = torch.tril(first)
        b = torch.tril(second)
        step = (n + 3) // 4
        out = torch.zeros_like(a)
        for low in range(0, n, step):
            high = min(low + step, n)
            for left in range(0, high, step):
                right = min(left + step, n)
                torch.mm(a[low:high, left:high], b[left:high, left:right], out=out[low:high, left:right])
        return out
