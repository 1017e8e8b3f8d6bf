# attack: X5 is quick while it is checked and dawdles in every timed call, to waste the time of the machine
# task: softmax
# timed: yes
# expect: correct timeout rejected
# seconds: 60
import time

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        if self.calls > 10:
            time.sleep(1.5)
        return torch.softmax(x, dim=-1)
