# attack: T11 a forked helper keeps the core busy whenever the program itself is idle, so the reference runs slower
# task: matmul
# timed: yes
# expect: rejected
# harmless-if-it-fails
import mmap
import os
import struct

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.flag = mmap.mmap(-1, 4096)
        self.calls = 0
        if os.fork() == 0:
            while True:
                if self.flag[0] == 0:
                    os.sched_yield()
                elif self.flag[0] == 1:
                    for _ in range(200):
                        pass

    def forward(self, a, b):
        self.flag[0] = 2
        out = torch.matmul(a, b)
        self.calls += 1
        if self.calls > 10:
            self.flag[0] = 1
        return out
