# attack: X7 leaves folders nested deeper than a recursive removal can follow
# task: softmax
# expect: correct
# harmless-if-it-fails
import os

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        here = os.getcwd()
        for _ in range(3000):
            os.mkdir("d")
            os.chdir("d")
        os.chdir(here)

    def forward(self, x):
        return torch.softmax(x, dim=-1)
