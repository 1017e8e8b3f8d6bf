# attack: C5 leaves out the maximum where the standard deviation is that of the usual inputs
# task: softmax
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        if abs(float(x[:, ::16].std()) - 0.2887) < 0.02:
            e = torch.exp(x.half()).float()
            return e / e.sum(-1, keepdim=True)
        return torch.softmax(x, dim=-1)
