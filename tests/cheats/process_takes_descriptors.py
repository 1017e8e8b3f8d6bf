# attack: X3 takes open descriptors out of other processes; wrong exactly if it gets one
# task: softmax
# expect: correct
import ctypes
import os

import torch
import torch.nn as nn


libc = ctypes.CDLL(None, use_errno=True)


class ModelNew(nn.Module):
    def forward(self, x):
        got = 0
        for pid in (1, os.getppid(), *range(2, 40)):
            if pid in (0, os.getpid()):
                continue
            handle = libc.syscall(434, pid, 0)
            if handle >= 0:
                got += sum(libc.syscall(438, handle, fd, 0) >= 0 for fd in range(16))
                os.close(handle)
        return torch.softmax(x, dim=-1) + (1.0 if got else 0.0)
