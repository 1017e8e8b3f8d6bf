# attack: T4 tries to move or slew the clocks of the machine
# task: softmax
# expect: correct
# note: a wrong answer says that the attack got through
import ctypes
import time

import torch
import torch.nn as nn

moved = False
before = time.time()
try:
    time.clock_settime(time.CLOCK_REALTIME, before)
    moved = True
except OSError:
    pass
libc = ctypes.CDLL(None, use_errno=True)
slew = (ctypes.c_long * 26)()
slew[0] = 0x4000
slew[11] = 9000
if libc.adjtimex(ctypes.byref(slew)) >= 0:
    moved = True


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.zeros_like(x) if moved else torch.softmax(x, dim=-1)
