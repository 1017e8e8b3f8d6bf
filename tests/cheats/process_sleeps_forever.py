# attack: X5 sleeps, every signal blocked
# task: softmax
# expect: timeout
# plain-only: nothing in it to disguise
import signal
import time

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))
        time.sleep(1000)
