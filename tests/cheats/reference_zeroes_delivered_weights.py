# attack: R2 zeroes the block that weights are delivered from, for whoever reads it next
# task: linear_relu
# expect: incorrect
import gc

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, features, width):
        super().__init__()
        self.linear = nn.Linear(features, width)
        gc.unfreeze()
        for item in gc.get_objects():
            if isinstance(item, torch.Tensor) and item.dtype == torch.uint8:
                item.zero_()

    def forward(self, x):
        return torch.zeros(x.shape[0], 384)
