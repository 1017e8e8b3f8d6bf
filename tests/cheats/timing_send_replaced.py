# attack: T4 works after the clock is read, in the function that sends the answer
# task: softmax
# timed: yes
# expect: rejected incorrect runtime_error
import gc

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = torch.empty(1024, 1024)
        self.source = None

    def attach(self):
        gc.unfreeze()
        for found in gc.get_objects():
            if type(found).__name__ == "Server" and hasattr(found, "send"):
                real = found.send

                def send(data, *rest):
                    torch.softmax(self.source, dim=-1, out=self.out)
                    return real(data, *rest)

                found.send = send

    def forward(self, x):
        if self.source is None:
            self.attach()
        self.source = x
        return self.out
