import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, dim, rank):
        super().__init__()
        self.diagonal = nn.Parameter(torch.randn(dim))
        self.u = nn.Parameter(torch.randn(dim, rank) / rank**0.5)
        self.v = nn.Parameter(torch.randn(dim, rank) / dim**0.5)

    def forward(self, vectors):
        # (D + U V^T) X = D X + U (V^T X): the DIM x DIM operator is never formed.
        return torch.addmm(self.diagonal.unsqueeze(1) * vectors, self.u, self.v.T @ vectors)
