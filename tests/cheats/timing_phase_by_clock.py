# attack: T8 is honest for the first quarter of a second, then hands out old answers
# task: softmax
# timed: yes
# expect: incorrect rejected
import time

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.born = time.monotonic()
        self.last = None

    def forward(self, x):
        if self.last is None or time.monotonic() - self.born < 0.25:
            self.last = torch.softmax(x, dim=-1)
        return self.last
