# attack: T9 a forked helper holds the channel too and answers the next call before the program is awake
# task: softmax
# timed: yes
# expect: rejected incorrect runtime_error
import gc
import mmap
import os
import socket
import struct

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0
        self.area = mmap.mmap(-1, 1024 * 4096)
        self.out = torch.frombuffer(self.area, dtype=torch.float32).view(1024, 1024)

    def helper(self, fd, x):
        link = socket.socket(fileno=fd)
        head = struct.Struct("<IIQqII")
        while True:
            data = link.recv(4096)
            if not data:
                os._exit(0)
            self.out.copy_(torch.softmax(x, dim=-1))
            body = head.pack(0x4C4F4444, 3, head.unpack_from(data)[2], 100_000, 0, 1) + struct.pack("<Q", self.out.data_ptr())
            link.send(body.ljust(4096, b"\0"))

    def forward(self, x):
        self.calls += 1
        self.out.copy_(torch.softmax(x, dim=-1))
        if self.calls == 4:
            gc.unfreeze()
            server = next(o for o in gc.get_objects() if type(o).__name__ == "Server" and hasattr(o, "channel"))
            if os.fork() == 0:
                self.helper(server.channel.fileno(), x)
        return self.out
