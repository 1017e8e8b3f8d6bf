# attack: T7 empties the caches after each answer, so that the reference starts cold
# task: matmul
# timed: yes
# expect: rejected
# harmless-if-it-fails
import threading

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.junk = torch.zeros(1 << 20)
        self.go = threading.Event()
        threading.Thread(target=self.work, daemon=True).start()

    def work(self):
        while True:
            self.go.wait()
            self.go.clear()
            self.junk.add_(1)

    def forward(self, a, b):
        out = torch.matmul(a, b)
        self.go.set()
        return out
