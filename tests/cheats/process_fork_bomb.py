# attack: X5 forks two hundred processes that spin for some seconds
# task: softmax
# expect: incorrect runtime_error rejected compile_error timeout correct
# harmless-if-it-fails
import os
import time

import torch
import torch.nn as nn

for _ in range(200):
    try:
        if os.fork() == 0:
            stop = time.monotonic() + 8
            while time.monotonic() < stop:
                pass
            os._exit(0)
    except OSError:
        break


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1)
