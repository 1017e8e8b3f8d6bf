# attack: X5 recurses without end
# task: softmax
# expect: runtime_error timeout
import sys

import torch
import torch.nn as nn

sys.setrecursionlimit(1 << 30)


def down(n):
    return [down(n + 1)] + [n]


class ModelNew(nn.Module):
    def forward(self, x):
        return down(0)
