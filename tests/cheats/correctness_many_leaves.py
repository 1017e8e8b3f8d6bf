# attack: C10 the right tensor, and a million others behind it
# task: softmax
# expect: runtime_error incorrect timeout
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        return [torch.softmax(x, dim=-1)] * 1_000_000
