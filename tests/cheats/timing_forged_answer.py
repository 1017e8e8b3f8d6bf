# attack: T4 answers by itself, with a time of its own choice in the frame
# task: softmax
# timed: yes
# expect: rejected
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
                    struct.pack_into("<q", head, 16, 1000)
                    return real(bytes(head))

                item.send = forge

    def forward(self, x):
        if not self.patched:
            self.patch()
        return torch.softmax(x, dim=-1)
