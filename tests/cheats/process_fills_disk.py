# attack: X7 fills the disk of its scratch folder
# task: softmax
# expect: runtime_error incorrect timeout
# harmless-if-it-fails
# note: 6 GiB; a wrong answer says that the attack got through
import os

import torch
import torch.nn as nn

reached = False
block = b"x" * (1 << 22)
try:
    for number in range(6):
        with open(f"fill-{number}", "wb", 0) as file:
            for _ in range(255):
                file.write(block)
    reached = True
except OSError:
    pass


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.zeros_like(x) if reached else torch.softmax(x, dim=-1)
