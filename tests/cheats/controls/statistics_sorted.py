# control: other algebra and another container of the same kind
# task: statistics
# timed: yes
from collections import OrderedDict

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        top, where = x.max(dim=-1)
        low = -(-x).max(dim=-1).values
        return OrderedDict(spread=top - low, where=where, total=x.sum(dim=0).sum().item())
