"""addcmul broadcasts the two vectors: the outer product is never written to memory."""

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, alpha):
        super().__init__()
        self.alpha = alpha

    def forward(self, matrix, left, right):
        return torch.addcmul(matrix, left[:, None], right[None, :], value=self.alpha)
