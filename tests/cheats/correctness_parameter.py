# attack: C10 the right values in a Parameter
# task: softmax
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        return nn.Parameter(torch.softmax(x, dim=-1), requires_grad=False)
