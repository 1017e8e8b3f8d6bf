# attack: T9 a thread sees new input appear in the shared memory and starts before the call
# task: softmax
# timed: yes
# expect: incorrect rejected
# harmless-if-it-fails
import threading
import time

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.x = None
        self.out = torch.empty(1024, 1024)
        self.mark = None
        self.calls = 0

    def watch(self):
        torch.set_grad_enabled(False)
        while True:
            last = self.x[-1, -4:].tolist()
            if last != self.mark:
                self.out.copy_(torch.softmax(self.x, dim=-1))
                self.mark = last
            time.sleep(2e-5)

    def forward(self, x):
        self.calls += 1
        if self.x is None:
            self.x = x
            threading.Thread(target=self.watch, daemon=True).start()
        last = x[-1, -4:].tolist()
        stop = time.perf_counter() + 0.02
        while self.mark != last and time.perf_counter() < stop:
            time.sleep(1e-5)
        return self.out.clone() if self.calls % 2 else self.out
