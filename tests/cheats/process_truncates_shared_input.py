# attack: X5 shrinks the shared memory that inputs arrive in, so that the oracle faults when it writes there
# task: softmax
# expect: incorrect runtime_error rejected
# harmless-if-it-fails
import os

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.softmax(x, dim=-1)
        for name in os.listdir("/proc/self/fd"):
            try:
                if "memfd" in os.readlink("/proc/self/fd/" + name):
                    os.ftruncate(int(name), 0)
            except OSError:
                pass
        return out
