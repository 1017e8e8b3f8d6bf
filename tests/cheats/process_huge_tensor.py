# attack: X7 asks for a terabyte
# task: softmax
# expect: runtime_error
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.zeros(1 << 38)[:1].expand(1024, 1024)
