import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, left, right):
        # trace(A B) = sum of A * B^T; only the diagonal of the product is ever needed.
        return (left.transpose(1, 2) * right).sum(dim=(1, 2))
