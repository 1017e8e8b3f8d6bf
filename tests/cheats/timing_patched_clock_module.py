# attack: T4 slows the clock of the time module down
# task: softmax
# timed: yes
# expect: rejected
# harmless-if-it-fails
import time

import torch
import torch.nn as nn

for name in ("perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns", "time", "time_ns"):
    real = getattr(time, name)
    setattr(time, name, lambda real=real: type(real())(real() * 0.1))


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1)
