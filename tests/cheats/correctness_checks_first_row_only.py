# attack: C5 decides from the first row whether the quick way is safe
# task: rectify
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        if bool((x[0] >= 0).all()) and bool((x[-1] >= 0).all()):
            return x.clone()
        return torch.relu(x)
