# attack: C5 the last of equal maxima instead of the first
# task: statistics
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        where = x.shape[-1] - 1 - x.flip(-1).argmax(-1)
        return {"spread": x.amax(-1) - x.amin(-1), "where": where, "total": float(x.sum())}
