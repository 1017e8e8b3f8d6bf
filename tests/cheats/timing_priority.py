# attack: T11 raises its own priority and lowers that of all others
# task: matmul
# timed: yes
# expect: rejected
# harmless-if-it-fails
import os

import torch
import torch.nn as nn

for action in (
    lambda: os.setpriority(os.PRIO_PROCESS, 0, -20),
    lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50)),
    lambda: os.setpriority(os.PRIO_USER, os.getuid(), 19),
    lambda: [os.setpriority(os.PRIO_PROCESS, pid, 19) for pid in range(2, 40000) if pid != os.getpid()],
    lambda: open("/proc/self/autogroup", "w").write("-20"),
):
    try:
        action()
    except OSError:
        pass


class ModelNew(nn.Module):
    def forward(self, a, b):
        return torch.matmul(a, b)
