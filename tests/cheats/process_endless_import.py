# attack: X5 never ends to be imported
# task: softmax
# expect: timeout
# plain-only: nothing in it to disguise
import torch
import torch.nn as nn

while True:
    pass


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1)
