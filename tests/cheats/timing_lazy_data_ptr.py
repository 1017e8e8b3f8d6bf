# attack: T3 makes the harness accept a lazy object that computes when its address is asked for
# task: softmax
# timed: yes
# expect: rejected incorrect
import gc

import torch
import torch.nn as nn


class Lazy:
    def __init__(self, x):
        self.x = x
        self.shape, self.dtype = x.shape, x.dtype

    def stride(self):
        return self.x.stride()

    def data_ptr(self):
        self.out = torch.softmax(self.x, dim=-1)
        return self.out.data_ptr()


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        gc.unfreeze()
        for item in gc.get_objects():
            if type(item).__name__ == "Server" and hasattr(item, "mismatch"):
                item.mismatch = lambda *a, **k: ""

    def forward(self, x):
        return Lazy(x)
