# attack: C9 uses half precision for the parts of an answer that are small
# task: softmax
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.softmax(x, dim=-1)
        return torch.where(y < 1e-3, y.half().float(), y)
