"""Normalise each vector once; the table is then one matrix product."""

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, queries, documents):
        left = queries / torch.linalg.vector_norm(queries, dim=1, keepdim=True).clamp_(min=1e-8)
        right = documents / torch.linalg.vector_norm(documents, dim=1, keepdim=True).clamp_(min=1e-8)
        return left @ right.t()
