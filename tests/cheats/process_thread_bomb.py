# attack: X5 starts threads until it may not
# task: softmax
# expect: correct runtime_error rejected timeout
# harmless-if-it-fails
import threading
import time

import torch
import torch.nn as nn

threading.stack_size(65536)
try:
    for _ in range(3000):
        threading.Thread(target=time.sleep, args=(20,), daemon=True).start()
except (RuntimeError, MemoryError):
    pass


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1)
