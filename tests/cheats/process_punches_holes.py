# attack: X5 punches holes into the shared input, which then reads as zeros
# task: softmax
# expect: incorrect correct
# harmless-if-it-fails
import ctypes
import os

import torch
import torch.nn as nn

libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]


class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.softmax(x, dim=-1)
        for name in os.listdir("/proc/self/fd"):
            try:
                if "memfd" in os.readlink("/proc/self/fd/" + name):
                    libc.fallocate(int(name), 3, 0, 1 << 20)
            except OSError:
                pass
        return out
