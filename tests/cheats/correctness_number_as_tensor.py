# attack: C10 a tensor where a number is due
# task: statistics
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        return {"spread": x.amax(-1) - x.amin(-1), "where": x.argmax(-1), "total": x.sum()}
