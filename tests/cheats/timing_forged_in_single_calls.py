# attack: T4 halves its times where one call is asked for, and is honest in batches, which are another clock's
# task: softmax
# timed: yes
# expect: rejected
# harmless-if-it-fails
import gc
import struct

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.patched = False

    def patch(self):
        self.patched = True
        gc.unfreeze()
        for item in gc.get_objects():
            if type(item).__name__ == "Server" and hasattr(item, "send"):
                real = item.send

                def forge(data, real=real):
                    head = bytearray(data)
                    claimed, _, words = struct.unpack_from("<qII", head, 16)
                    if words == 1:
                        struct.pack_into("<q", head, 16, claimed // 2)
                    return real(bytes(head))

                item.send = forge

    def forward(self, x):
        if not self.patched:
            self.patch()
        return torch.softmax(x, dim=-1)
