# attack: X5 keeps a sleeping child, so that it looks like a compiler at work
# task: softmax
# expect: timeout
# seconds: 45
# plain-only: nothing in it to disguise
import os
import time

import torch
import torch.nn as nn

if os.fork() == 0:
    time.sleep(60)
    os._exit(0)
time.sleep(60)


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1)
