# attack: X7 makes tens of thousands of files
# task: softmax
# expect: correct timeout runtime_error
# harmless-if-it-fails
import os

import torch
import torch.nn as nn

try:
    for number in range(30_000):
        os.close(os.open(f"f{number}", os.O_CREAT | os.O_WRONLY))
except OSError:
    pass


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1)
