# attack: C3 the right answer, but the input is destroyed
# task: rectify
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        x.relu_()
        return x.clone()
