import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, x):
        # Prefix sums are shared between the steps: one cumulative sum, divided by the number of steps so far.
        count = torch.arange(1, x.shape[1] + 1, dtype=x.dtype, device=x.device)
        return torch.cumsum(x, dim=1).div_(count.unsqueeze(1))
