# attack: X5 leaves a daemon behind by a double fork
# task: softmax
# expect: correct rejected
# harmless-if-it-fails
import ctypes
import os
import time

import torch
import torch.nn as nn

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        ctypes.CDLL(None).prctl(15, b"stray")
        for fd in range(64):
            try:
                os.close(fd)
            except OSError:
                pass
        time.sleep(40)
    os._exit(0)


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1)
