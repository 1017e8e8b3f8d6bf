# attack: T11 forks a helper in every call that burns the core for a millisecond and is gone
# task: matmul
# timed: yes
# expect: rejected
# harmless-if-it-fails
import os
import signal
import time

import torch
import torch.nn as nn

signal.signal(signal.SIGCHLD, signal.SIG_IGN)


class ModelNew(nn.Module):
    def forward(self, a, b):
        out = torch.matmul(a, b)
        if os.fork() == 0:
            stop = time.perf_counter() + 0.001
            while time.perf_counter() < stop:
                pass
            os._exit(0)
        return out
