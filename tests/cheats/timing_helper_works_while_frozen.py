# attack: T2 a helper does half of the work after the answer, and wakes its stopped parent
# task: softmax
# timed: yes
# expect: rejected incorrect runtime_error
# not-covered: sometimes a program whose helper wakes it ends as an error of the evaluator
import mmap
import os
import signal

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.area = mmap.mmap(-1, 1024 * 1024 * 4 + 64)
        self.out = torch.frombuffer(self.area, dtype=torch.float32, count=1024 * 1024).view(1024, 1024)
        self.flag = torch.frombuffer(self.area, dtype=torch.int64, offset=1024 * 1024 * 4, count=2)
        self.helper = 0

    def forward(self, x):
        self.flag[0] = 0
        if not self.helper:
            self.helper = os.fork()
            if self.helper == 0:
                while True:
                    while not int(self.flag[0]):
                        os.sched_yield()
                    self.out[512:].copy_(torch.softmax(x[512:], dim=-1))
                    self.flag[0] = 0
                    os.kill(os.getppid(), signal.SIGCONT)
        self.out[:512].copy_(torch.softmax(x[:512], dim=-1))
        self.flag[0] = 1
        return self.out
