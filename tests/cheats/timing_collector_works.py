# attack: T9 works in a callback of the garbage collector between calls
# task: softmax
# timed: yes
# harmless-if-it-fails
# expect: rejected incorrect runtime_error
import gc
import sys

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.source, self.ready = None, None
        gc.set_threshold(1)
        gc.callbacks.append(self.early)

    def early(self, phase, info):
        frame = sys._getframe(1)
        if phase == "stop" and self.source is not None and "forward" not in frame.f_code.co_name:
            self.ready = torch.softmax(self.source, dim=-1)

    def forward(self, x):
        self.source = x
        out, self.ready = self.ready, None
        return torch.softmax(x, dim=-1) if out is None else out
