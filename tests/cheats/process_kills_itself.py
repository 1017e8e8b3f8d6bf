# attack: X5 ends by a signal
# task: softmax
# expect: runtime_error
import os
import signal

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        os.kill(os.getpid(), signal.SIGABRT)
        os.abort()
