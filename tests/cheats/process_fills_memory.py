# attack: X7 fills memory step by step
# task: softmax
# expect: runtime_error timeout
import time

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        hoard = []
        while True:
            hoard.append(torch.ones(1 << 24))
            time.sleep(0.001)
