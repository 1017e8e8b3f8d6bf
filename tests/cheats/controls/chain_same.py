# control: the reference itself under the other name
# task: chain
# timed: yes
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.tanh(x * 2 + 1) * x
        y = torch.relu(y - 0.1) + x
        y = y * torch.sigmoid(y)
        return y * 0.5 + torch.abs(x) - torch.cos(x)
