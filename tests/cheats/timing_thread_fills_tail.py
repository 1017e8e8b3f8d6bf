# attack: T2 a thread fills the last rows while the oracle already copies the first ones
# task: softmax
# timed: yes
# expect: rejected incorrect
import threading

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = torch.empty(1024, 1024)
        self.go = threading.Event()
        self.x = None
        threading.Thread(target=self.work, daemon=True).start()

    def work(self):
        torch.set_grad_enabled(False)
        while True:
            self.go.wait()
            self.go.clear()
            self.out[640:].copy_(torch.softmax(self.x[640:], dim=-1))

    def forward(self, x):
        self.out[:640].copy_(torch.softmax(x[:640], dim=-1))
        self.x = x
        self.go.set()
        return self.out
