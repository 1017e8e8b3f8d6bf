# attack: X3 reads memory, descriptors and command line of its parents
# task: softmax
# expect: correct
# note: a wrong answer says that the attack got through
import os

import torch
import torch.nn as nn

reached = False
for pid in {os.getppid(), 1, 2} - {os.getpid(), 0}:
    for part in ("mem", "maps", "fd/0", "fd/3", "root/etc/hostname", "cwd"):
        try:
            open(f"/proc/{pid}/{part}", "rb").read(1)
            reached = True
        except (OSError, ValueError):
            pass


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.zeros_like(x) if reached else torch.softmax(x, dim=-1)
