# attack: X5 stops every process that it may send a signal to, so that the reference stands still
# task: matmul
# timed: yes
# expect: rejected
# harmless-if-it-fails
import os
import signal

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, a, b):
        self.calls += 1
        if self.calls in (3, 14, 20, 30):
            me = os.getpid()
            try:
                os.kill(-1, signal.SIGSTOP)
            except OSError:
                pass
            for name in os.listdir("/proc"):
                if name.isdigit() and int(name) not in (me, 1):
                    try:
                        os.kill(int(name), signal.SIGSTOP)
                    except OSError:
                        pass
        return torch.matmul(a, b)
