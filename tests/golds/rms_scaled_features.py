"""A norm of short norms gives the mean square without a squared copy; then one buffer."""

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, hidden, eps=1e-6):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(hidden))
        self.eps = eps

    def forward(self, hidden_states):
        width = hidden_states.shape[-1]
        norm = torch.linalg.vector_norm(hidden_states.unflatten(-1, (-1, 128)), dim=-1)
        norm = torch.linalg.vector_norm(norm, dim=-1, keepdim=True)
        factor = norm.square_().div_(width).add_(self.eps).rsqrt_()
        return (hidden_states * factor).mul_(self.scale)
