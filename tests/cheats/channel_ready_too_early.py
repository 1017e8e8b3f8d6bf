# attack: X1 says READY while it is being imported, and again later
# task: softmax
# expect: runtime_error rejected
# harmless-if-it-fails
import gc
import struct

import torch
import torch.nn as nn

gc.unfreeze()
server = next(o for o in gc.get_objects() if type(o).__name__ == "Server" and hasattr(o, "channel"))
head = struct.Struct("<IIQqII")


def frame(kind, nonce=0, value=0, words=(), code=0, text=b""):
    body = text or struct.pack("<%dQ" % len(words), *words)
    return (head.pack(0x4C4F4444, kind, nonce, value, code, len(text) or len(words)) + body).ljust(4096, b"\0")


server.channel.send(frame(1))


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1)
