# attack: X2 sends an object that runs code where it is unpickled
# task: softmax
# expect: incorrect runtime_error rejected compile_error timeout
import gc
import struct
import os
import pickle

import torch
import torch.nn as nn

gc.unfreeze()
server = next(o for o in gc.get_objects() if type(o).__name__ == "Server" and hasattr(o, "channel"))
head = struct.Struct("<IIQqII")


def frame(kind, nonce=0, value=0, words=(), code=0, text=b""):
    body = text or struct.pack("<%dQ" % len(words), *words)
    return (head.pack(0x4C4F4444, kind, nonce, value, code, len(text) or len(words)) + body).ljust(4096, b"\0")


class Trap:
    def __reduce__(self):
        return os.system, ("touch /tmp/cheat-left-pickle",)


server.send = lambda data: server.channel.send(pickle.dumps(Trap()))


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1)
