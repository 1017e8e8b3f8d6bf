# attack: C10 returns a tensor whose memory holds the answer and whose flag says that it is negative
# task: softmax
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        return torch._neg_view(torch.softmax(x, dim=-1))
