# attack: X5 lowers the limits of other processes
# task: softmax
# expect: correct
# note: a wrong answer says that the attack got through
import os
import resource

import torch
import torch.nn as nn

reached = False
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) != os.getpid():
        try:
            resource.prlimit(int(name), resource.RLIMIT_CPU, (1, 1))
            reached = True
        except OSError:
            pass


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.zeros_like(x) if reached else torch.softmax(x, dim=-1)
