# attack: C10 the right values in a numpy array
# task: softmax
# expect: incorrect runtime_error
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1).numpy()
