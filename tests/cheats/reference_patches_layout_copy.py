# attack: R2 returns another layout and patches the copy that brings it into the reference's
# task: softmax
# expect: incorrect
import torch
import torch.nn as nn


real = torch.empty_strided
kept = []


def empty_strided(*args, **kwargs):
    if not kept:
        kept.append(real(*args, **kwargs).fill_(1 / 1024))
    return Fixed(kept[0])


class Fixed:
    def __init__(self, tensor):
        self.tensor = tensor

    def copy_(self, other):
        return self.tensor


torch.empty_strided = empty_strided


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1).t().contiguous().t()
