# attack: X7 keeps memory where no resident set counts it
# task: softmax
# expect: runtime_error incorrect timeout
# harmless-if-it-fails
# note: 5 GiB of unmapped memory files where 3 GiB are allowed; a wrong answer says that the attack got through
import os

import torch
import torch.nn as nn

reached = False
kept = []
block = b"x" * (1 << 20)
try:
    for number in range(5):
        fd = os.memfd_create("hoard")
        kept.append(fd)
        for _ in range(1023):
            os.write(fd, block)
    reached = True
except (OSError, MemoryError):
    pass


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.zeros_like(x) if reached else torch.softmax(x, dim=-1)
