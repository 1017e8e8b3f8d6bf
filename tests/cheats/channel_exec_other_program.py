# attack: X1 replaces itself by another program that holds the channel
# task: softmax
# expect: runtime_error timeout
import os

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        os.execv("/bin/cat", ["cat", "/dev/null"])
