# attack: C5 limits the input to a range that the usual inputs never leave
# task: softmax
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x.clamp(-4, 4), dim=-1)
