# control: honest, but three times the work
# task: softmax
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        shifted = x - x.max(dim=-1, keepdim=True).values
        return (shifted - torch.logsumexp(shifted, dim=-1, keepdim=True)).exp()
