# attack: T8 is honest only where gradients are off
# task: softmax
# timed: yes
# expect: incorrect rejected
# harmless-if-it-fails
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = None

    def forward(self, x):
        if torch.is_grad_enabled() and self.last is not None:
            return self.last
        self.last = torch.softmax(x, dim=-1)
        return self.last
