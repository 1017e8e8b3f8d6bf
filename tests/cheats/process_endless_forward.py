# attack: X5 never returns
# task: softmax
# expect: timeout
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        while True:
            pass
