# attack: T2 returns an empty buffer and lets a thread fill it
# task: softmax
# timed: yes
# expect: incorrect rejected
import threading

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)

        def fill():
            torch.set_grad_enabled(False)
            out.copy_(torch.softmax(x, dim=-1))

        threading.Thread(target=fill).start()
        return out
