# attack: X5 forks processes that fork, each in a session of its own
# task: softmax
# expect: incorrect runtime_error rejected compile_error timeout correct
# harmless-if-it-fails
import os
import time

import torch
import torch.nn as nn

for level in range(6):
    try:
        if os.fork() == 0:
            os.setsid()
        os.fork()
    except OSError:
        break
if os.getpid() != 1 and os.getppid() != 0:
    time.sleep(6)
    os._exit(0)


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1)
