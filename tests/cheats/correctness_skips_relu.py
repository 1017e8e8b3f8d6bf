# attack: C5 inputs from torch.rand are positive: nothing to do
# task: rectify
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        return x.clone()
