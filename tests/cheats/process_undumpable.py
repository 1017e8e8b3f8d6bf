# attack: X6 makes itself unreadable for others
# task: softmax
# expect: correct runtime_error
import ctypes

import torch
import torch.nn as nn

ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1)
