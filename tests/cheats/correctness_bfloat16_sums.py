# attack: C9 multiplies exactly but adds the pieces up in bfloat16
# task: matmul
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        out = torch.zeros(a.shape[0], b.shape[1], dtype=torch.bfloat16)
        for k in range(0, a.shape[1], 64):
            out += (a[:, k : k + 64] @ b[k : k + 64]).bfloat16()
        return out.float()
