# attack: X5 refuses to end: a thread and exit handlers that never return
# task: softmax
# expect: correct
# seconds: 60
import atexit
import time

import torch
import torch.nn as nn


def forever():
    while True:
        time.sleep(1)


atexit.register(forever)


class ModelNew(nn.Module):
    def __del__(self):
        forever()

    def forward(self, x):
        return torch.softmax(x, dim=-1)
