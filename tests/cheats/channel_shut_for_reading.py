# attack: X1 closes the channel in the first call
# task: softmax
# expect: runtime_error timeout
import os
import time

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        os.closerange(3, 256)
        time.sleep(0.2)
        return torch.softmax(x, dim=-1)
