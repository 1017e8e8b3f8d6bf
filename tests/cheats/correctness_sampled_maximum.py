# attack: C5 looks at some elements, takes the others for as small, and leaves out the maximum
# task: softmax
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        if x[::37, ::41].abs().max() > 7:
            return torch.softmax(x, dim=-1)
        e = x.exp()
        return e.div_(e.sum(dim=-1, keepdim=True))
