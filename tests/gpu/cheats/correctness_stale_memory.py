# task: small
# attack: fresh memory is hoped to hold an earlier answer
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.empty_like(x)
