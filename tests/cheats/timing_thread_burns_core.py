# attack: T11 a thread burns the core for a while after every call, when the reference is likely to run
# task: matmul
# timed: yes
# expect: rejected
# harmless-if-it-fails
import hashlib
import threading

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.go = threading.Event()
        self.junk = bytes(400_000)
        threading.Thread(target=self.work, daemon=True).start()

    def work(self):
        while True:
            self.go.wait()
            self.go.clear()
            hashlib.sha256(self.junk)

    def forward(self, a, b):
        out = torch.matmul(a, b)
        self.go.set()
        return out
