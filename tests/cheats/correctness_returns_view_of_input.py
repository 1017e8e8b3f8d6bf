# attack: C3 answers with a view of its input where that happens to be right
# task: rectify
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        if bool((x >= 0).all()):
            return x
        return torch.abs(torch.relu(x))
