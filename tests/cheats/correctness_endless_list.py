# attack: C10 a list that contains itself
# task: softmax
# expect: runtime_error incorrect timeout
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        out = []
        out.append(out)
        return out
