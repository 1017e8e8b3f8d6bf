# control: returns another memory layout
# task: softmax
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x.t(), dim=0).t()
