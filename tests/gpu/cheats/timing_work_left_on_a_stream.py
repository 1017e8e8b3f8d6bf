# task: gelu
# attack: kernels that run on after the answer slow the reference down
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.side = torch.cuda.Stream()
        self.block = None

    def forward(self, x):
        if self.block is None:
            self.block = torch.zeros(1 << 28, device="cuda")
        y = torch.nn.functional.gelu(x) * 2 + x
        with torch.cuda.stream(self.side):
            for _ in range(20):
                self.block.add_(1.0)
        return y
