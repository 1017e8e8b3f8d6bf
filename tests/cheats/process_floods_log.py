# attack: X7 writes a gigabyte to standard output and error
# task: softmax
# expect: correct timeout
# harmless-if-it-fails
import os

import torch
import torch.nn as nn

block = b"{\"status\": \"correct\"}\n" * 4096
for _ in range(3000):
    os.write(1, block)
    os.write(2, block)


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1)
