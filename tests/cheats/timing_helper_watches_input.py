# attack: T9 a forked helper works on the rows of the input while they are still being written
# task: softmax
# timed: yes
# expect: rejected incorrect runtime_error
# harmless-if-it-fails
import mmap
import os

import torch
import torch.nn as nn

ROWS = 1024


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.area = mmap.mmap(-1, ROWS * 4096 + 64)
        self.out = torch.frombuffer(self.area, dtype=torch.float32, count=ROWS * 1024).view(ROWS, 1024)
        self.done = torch.frombuffer(self.area, dtype=torch.float32, offset=ROWS * 4096, count=8)
        self.pid = 0

    def watch(self, x):
        mark = 0.0
        while True:
            now = float(x[-1, -1])
            if now != mark:
                self.out.copy_(torch.softmax(x, dim=-1))
                if float(x[-1, -1]) == now:
                    self.done[0] = now
                    mark = now
            os.sched_yield()

    def forward(self, x):
        if not self.pid:
            self.pid = os.fork()
            if self.pid == 0:
                self.watch(x)
        last = float(x[-1, -1])
        for _ in range(20000):
            if float(self.done[0]) == last:
                return self.out
            os.sched_yield()
        return torch.softmax(x, dim=-1)
