# attack: T11 is slow for the first calls, so that the harness settles for few repeats
# task: softmax
# timed: yes
# expect: rejected
# harmless-if-it-fails
import time

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        if self.calls <= 14:
            time.sleep(0.02)
        return torch.softmax(x, dim=-1)
