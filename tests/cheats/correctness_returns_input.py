# attack: C3 the right answer in the storage of the input
# task: rectify
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        return x.relu_()
