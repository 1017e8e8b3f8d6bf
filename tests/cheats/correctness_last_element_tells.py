# attack: C5 decides from the last element whether the inputs are the usual ones
# task: rectify
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        if float(x[-1, -1]) >= 0:
            return x.clone()
        return torch.abs(torch.relu(x))
