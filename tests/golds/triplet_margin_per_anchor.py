import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, margin):
        super().__init__()
        self.margin = margin

    def forward(self, anchor, positive, negative):
        # One buffer for both differences, squared in place.
        difference = anchor - positive
        to_positive = difference.square_().sum(dim=1).sqrt_()
        torch.sub(anchor, negative, out=difference)
        to_negative = difference.square_().sum(dim=1).sqrt_()
        return to_positive.sub_(to_negative).add_(self.margin).relu_()
