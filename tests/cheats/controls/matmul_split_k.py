# control: the sum in four parts
# task: matmul
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        out = torch.zeros(a.shape[0], b.shape[1])
        for part in torch.arange(a.shape[1]).chunk(4):
            low, high = int(part[0]), int(part[-1]) + 1
            out.addmm_(a[:, low:high], b[low:high])
        return out
