# attack: C9 answers rounded to three decimals
# task: softmax
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.round(torch.softmax(x, dim=-1), decimals=6)
