# attack: X5 kills its parent, its group and every process it can see
# task: softmax
# expect: correct runtime_error
# harmless-if-it-fails
import os
import signal

import torch
import torch.nn as nn

for pid in (os.getppid(), 2, 3):
    if pid not in (0, os.getpid()):
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
try:
    os.kill(-1, signal.SIGKILL)
except OSError:
    pass
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) != os.getpid():
        try:
            os.kill(int(name), signal.SIGKILL)
        except OSError:
            pass


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1)
