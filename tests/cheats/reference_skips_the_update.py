# attack: C3 leaves out the update of the cache that it is given, and returns the right answer
# task: running
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x, total):
        return (total + x).mean(dim=-1)
