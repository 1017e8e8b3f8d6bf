# attack: T11 keeps hundreds of threads, whose stopping and waking costs the core time that nobody is asked for
# task: matmul
# timed: yes
# expect: rejected
# harmless-if-it-fails
import threading

import torch
import torch.nn as nn

threading.stack_size(131072)


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = threading.Event()
        try:
            for _ in range(150):
                threading.Thread(target=self.gate.wait, daemon=True).start()
        except RuntimeError:
            pass

    def forward(self, a, b):
        return torch.matmul(a, b)
