# control: an ordered dictionary where a dictionary is expected
# task: statistics
from collections import OrderedDict

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        low, high = x.aminmax(dim=-1)
        return OrderedDict(spread=high - low, where=x.max(dim=-1).indices, total=float(x.sum()))
