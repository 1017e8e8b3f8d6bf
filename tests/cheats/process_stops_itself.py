# attack: X5 stops itself
# task: softmax
# expect: timeout correct
# harmless-if-it-fails
# note: the first process of a pid namespace cannot stop itself
import os
import signal

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        os.kill(os.getpid(), signal.SIGSTOP)
        return torch.softmax(x, dim=-1)
