# attack: T11 a parent that waits for its vfork can't be stopped: it answers from the other side and works on
# task: softmax
# timed: yes
# expect: rejected incorrect runtime_error timeout
# harmless-if-it-fails
import ctypes
import threading

import torch
import torch.nn as nn

libc = ctypes.CDLL(None, use_errno=True)


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.stuck = False

    def hold(self):
        pid = libc.syscall(56, 0x4000 | 17, 0, 0, 0, 0)
        if pid == 0:
            libc.usleep(3_000_000)
            libc._exit(0)

    def forward(self, x):
        if not self.stuck:
            self.stuck = True
            threading.Thread(target=self.hold, daemon=True).start()
        return torch.softmax(x, dim=-1)
