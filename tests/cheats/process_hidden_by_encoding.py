# attack: X10 another program in a comment, which an encoding declaration turns into code
# coding: utf-7
# task: softmax
# expect: correct
# note: whoever reads comments as comments must not run them: a wrong answer says that the hidden lines ran
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1)


# +AAo-ModelNew.forward = lambda self, x: torch.zeros_like(x)
