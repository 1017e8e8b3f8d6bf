# attack: T11 arms a hundred timers at the end of each call: their interrupts slow whatever runs on the core next
# task: matmul
# timed: yes
# expect: rejected
# harmless-if-it-fails
import ctypes

import torch
import torch.nn as nn

libc = ctypes.CDLL(None, use_errno=True)
settime = libc.timerfd_settime
settime.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.kept = [(ctypes.c_long * 4)(0, 0, 0, 300_000 + 6_000 * i) for i in range(180)]
        self.timers = [(libc.timerfd_create(1, 0o4000), ctypes.addressof(s)) for s in self.kept]

    def forward(self, a, b):
        out = torch.matmul(a, b)
        for timer, when in self.timers:
            settime(timer, 0, when, None)
        return out
