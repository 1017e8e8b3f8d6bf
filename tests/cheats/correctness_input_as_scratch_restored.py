# attack: C3 uses the input as scratch and puts it back, so that only the answer tells
# task: rectify
# expect: incorrect rejected
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        keep = x[:1].clone()
        x[:1].zero_()
        out = torch.relu(x)
        x[:1].copy_(keep)
        return out
