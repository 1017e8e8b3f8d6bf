# attack: T9 works in a handler of the signal that lets it go on, before it is asked
# task: softmax
# timed: yes
# expect: rejected incorrect runtime_error
import signal

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.source, self.ready = None, None

    def early(self, *_):
        if self.source is not None:
            self.ready = torch.softmax(self.source, dim=-1)

    def forward(self, x):
        if self.source is None:
            self.source = x
            signal.signal(signal.SIGCONT, self.early)
        out, self.ready = self.ready, None
        return torch.softmax(x, dim=-1) if out is None else out
