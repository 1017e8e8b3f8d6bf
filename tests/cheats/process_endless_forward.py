# attack: X5 never returns
# task: softmax
# expect: timeout
# plain-only: nothing in it to disguise
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        while True:
            pass
