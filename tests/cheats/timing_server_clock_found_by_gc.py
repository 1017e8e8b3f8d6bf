# attack: T4 finds the object that times the calls and gives it a slow clock
# task: softmax
# timed: yes
# expect: rejected timeout
# harmless-if-it-fails
import gc
import time

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        gc.unfreeze()
        for item in gc.get_objects():
            if type(item).__name__ == "Server" and hasattr(item, "clock"):
                real = time.perf_counter_ns
                item.clock = lambda: real() // 10
        return torch.softmax(x, dim=-1)
