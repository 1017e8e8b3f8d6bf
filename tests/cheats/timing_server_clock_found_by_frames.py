# attack: T4 walks the stack to the object that times the calls and gives it a frozen clock
# task: matmul
# timed: yes
# expect: rejected
import sys

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        frame = sys._getframe()
        while frame is not None:
            owner = frame.f_locals.get("self")
            if hasattr(owner, "clock"):
                start = frame.f_locals.get("start", 0)
                owner.clock = lambda start=start: start + 1000
            frame = frame.f_back
        return torch.matmul(a, b)
