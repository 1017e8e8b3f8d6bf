# control: updates the cache after computing the answer
# task: running
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x, total):
        out = (x.sum(dim=-1) + total.sum(dim=-1)) / x.shape[-1]
        total += x
        return out
