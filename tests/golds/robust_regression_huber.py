import torch
import torch.nn as nn
import torch.nn.functional as F


class ModelNew(nn.Module):
    def __init__(self, delta):
        super().__init__()
        self.delta = delta

    def forward(self, predicted, observed):
        # One fused pass over the residuals instead of seven temporaries.
        return F.huber_loss(predicted, observed, reduction="none", delta=self.delta).mean(dim=1)
