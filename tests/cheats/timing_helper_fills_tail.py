# attack: T2 a forked helper fills the second half of the output after the answer has been sent
# task: softmax
# timed: yes
# expect: rejected incorrect runtime_error
import mmap
import os
import time

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.area = mmap.mmap(-1, 1024 * 1024 * 4 + 4096)
        self.out = torch.frombuffer(self.area, dtype=torch.float32, count=1024 * 1024).view(1024, 1024)
        self.flag = torch.frombuffer(self.area, dtype=torch.int64, offset=1024 * 1024 * 4, count=2)
        self.pid = 0

    def work(self, x):
        while True:
            if self.flag[0].item():
                torch.softmax(x[512:], dim=-1, out=self.out[512:]) if False else self.out[512:].copy_(torch.softmax(x[512:], dim=-1))
                self.flag[0] = 0
            else:
                os.sched_yield()

    def forward(self, x):
        if not self.pid:
            self.pid = os.fork()
            if self.pid == 0:
                self.work(x)
        while self.flag[0].item():
            os.sched_yield()
        self.out[:512].copy_(torch.softmax(x[:512], dim=-1))
        self.flag[0] = 1
        return self.out
