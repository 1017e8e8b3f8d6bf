# attack: C9 sets probabilities to zero that hardly matter
# task: softmax
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.softmax(x, dim=-1)
        return torch.where(out < 1e-4, torch.zeros_like(out), out)
