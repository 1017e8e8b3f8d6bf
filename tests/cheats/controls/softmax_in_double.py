# control: more precise than it has to be
# task: softmax
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1, dtype=torch.float64).to(torch.float32)
