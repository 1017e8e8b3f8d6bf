# attack: C9 a random half of the terms, doubled
# task: matmul
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        keep = torch.randperm(a.shape[1])[: a.shape[1] // 2]
        return 2 * (a[:, keep] @ b[keep])
