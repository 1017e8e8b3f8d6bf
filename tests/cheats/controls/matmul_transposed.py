# control: the answer in another memory layout
# task: matmul
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        return torch.matmul(b.t(), a.t()).t()
