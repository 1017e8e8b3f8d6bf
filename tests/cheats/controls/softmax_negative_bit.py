# control: returns a tensor whose flag says that it is negative, rightly
# task: softmax
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        return torch._neg_view(-torch.softmax(x, dim=-1))
