# attack: C5 looks at every sixteenth row to see whether the inputs are the usual ones
# task: rectify
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        if bool((x[::16] >= 0).all()):
            return x.clone()
        return torch.abs(torch.relu(x))
