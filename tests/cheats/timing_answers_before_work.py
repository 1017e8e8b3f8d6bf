# attack: T9 sends the answer first and works while the oracle is still reading it
# task: softmax
# timed: yes
# expect: incorrect rejected runtime_error
import gc
import os
import socket
import struct

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        gc.unfreeze()
        server = next(o for o in gc.get_objects() if type(o).__name__ == "Server" and hasattr(o, "channel"))
        head = struct.Struct("<IIQqII")
        link = socket.socket(fileno=os.dup(server.channel.fileno()))
        out = torch.softmax(x, dim=-1)
        import sys

        nonce, frame = 0, sys._getframe()
        while frame is not None:
            nonce = frame.f_locals["nonce"] if isinstance(frame.f_locals.get("nonce"), int) else nonce
            frame = frame.f_back
        first = True
        while True:
            link.send((head.pack(0x4C4F4444, 3, nonce, 50_000, 0, 1) + struct.pack("<Q", out.data_ptr())).ljust(4096, b"\0"))
            if not first:
                out.copy_(torch.softmax(x, dim=-1))
            first = False
            data = link.recv(4096)
            if not data:
                os._exit(0)
            nonce = head.unpack_from(data)[2]
