"""amax needs no positions of the maxima, which max pooling records."""

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, features):
        flat = features.flatten(2)
        return torch.cat([flat.amax(dim=2), flat.mean(dim=2)], dim=1)
