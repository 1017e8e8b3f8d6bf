"""A weighted histogram of the choices: no one-hot matrix. Summed in float64, since a histogram adds one by one."""

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, scores, weights):
        choice = scores.argmax(dim=1)
        votes = torch.bincount(choice, weights=weights.double(), minlength=scores.shape[1])
        return votes.to(weights.dtype)
