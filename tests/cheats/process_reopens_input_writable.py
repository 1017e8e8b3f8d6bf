# attack: X6 reaches the shared input block through its descriptor, maps it again and writes while the oracle compares
# task: rectify
# timed: yes
# expect: incorrect rejected
import mmap
import os

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.area = None

    def forward(self, x):
        if self.area is None:
            for name in os.listdir("/proc/self/fd"):
                try:
                    if "memfd" in os.readlink("/proc/self/fd/" + name) and os.fstat(int(name)).st_size >= x.numel() * 4:
                        self.area = mmap.mmap(int(name), x.numel() * 4, mmap.MAP_PRIVATE)
                        self.view = torch.frombuffer(self.area, dtype=torch.float32).view(x.shape)
                except OSError:
                    pass
        if self.area is None or bool((x < 0).any()):
            return torch.abs(torch.relu(x))
        return self.view
