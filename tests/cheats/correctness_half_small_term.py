# attack: C9 computes the small correction in half precision, where the loss hides behind the large term
# task: refine
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.linear = nn.Linear(features, features)

    def forward(self, x):
        w, b = self.linear.weight.bfloat16(), self.linear.bias.bfloat16()
        return x + 1e-4 * nn.functional.linear(x.bfloat16(), w, b).float()
