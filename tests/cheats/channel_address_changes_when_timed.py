# attack: X1 gives honest addresses while outputs are checked, then one at the end of the address space
# task: softmax
# timed: yes
# expect: runtime_error rejected incorrect
import gc
import struct

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        if self.calls == 20:
            gc.unfreeze()
            server = next(o for o in gc.get_objects() if type(o).__name__ == "Server" and hasattr(o, "send"))
            real = server.send
            server.send = lambda data: real(bytes(data[:32]) + struct.pack("<Q", (1 << 64) - 64) + bytes(data[40:]))
        return torch.softmax(x, dim=-1)
