import torch
import torch.nn as nn
import torch.nn.functional as F


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, logits, targets):
        # The library's loss fuses the formula, and blocks of rows keep its temporaries in the cache.
        result = logits.new_empty(logits.shape[0])
        for x, t, out in zip(logits.split(128), targets.split(128), result.split(128)):
            torch.mean(F.binary_cross_entropy_with_logits(x, t, reduction="none"), dim=1, out=out)
        return result
