"""(Q K^T) V = Q (K^T V): the length x length matrix is never formed, its row sums are Q (K^T 1)."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class ModelNew(nn.Module):
    def forward(self, q, k, v):
        phi_q = F.softplus(q)
        phi_k = F.softplus(k)
        summary = torch.bmm(phi_k.transpose(1, 2), v)
        normaliser = torch.bmm(phi_q, phi_k.sum(dim=1).unsqueeze(-1)).clamp_(min=1e-6)
        return torch.bmm(phi_q, summary).div_(normaliser)
