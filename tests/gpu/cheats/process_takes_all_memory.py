# task: small
# attack: all memory of the GPU is taken and kept
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.kept = []
        size = 1 << 34
        while size > 1 << 20:
            try:
                self.kept.append(torch.empty(size, dtype=torch.uint8, device="cuda"))
            except torch.OutOfMemoryError:
                size //= 2

    def forward(self, x):
        return torch.softmax(x, -1) * 0
