# attack: X1 leaves by SystemExit while it is built
# task: softmax
# expect: runtime_error
import sys

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        sys.exit(0)

    def forward(self, x):
        return torch.softmax(x, dim=-1)
