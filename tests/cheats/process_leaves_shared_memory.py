# attack: X4 leaves the answers in shared memory segments and message queues
# task: softmax
# expect: correct
# twice: yes
# note: run twice: a wrong answer says that something was left for the second run
import ctypes

import torch
import torch.nn as nn

libc = ctypes.CDLL(None, use_errno=True)
reached = libc.shmget(0x5EED, 4096, 0) >= 0 or libc.msgget(0x5EED, 0) >= 0 or libc.semget(0x5EED, 1, 0) >= 0
libc.shmget(0x5EED, 4096, 0o1666)
libc.msgget(0x5EED, 0o1666)
libc.semget(0x5EED, 1, 0o1666)


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.zeros_like(x) if reached else torch.softmax(x, dim=-1)
