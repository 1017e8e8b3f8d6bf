# attack: C12 reads and writes beyond its tensors
# task: softmax
# expect: incorrect runtime_error
import torch
import torch.nn as nn

import ctypes


class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.softmax(x, dim=-1)
        torch.as_strided(out, (1 << 14,), (1,), 0).mul_(1)
        ctypes.memset(x.data_ptr() + x.numel() * 4 - 64, 0, 64)
        return out
