# task: gelu
# attack: a thread does the work after forward has returned
import threading
import time

import torch
import torch.nn as nn


def late(x, y):
    time.sleep(0.002)
    y.copy_(torch.nn.functional.gelu(x) * 2 + x)


class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        threading.Thread(target=late, args=(x, y), daemon=True).start()
        return y
