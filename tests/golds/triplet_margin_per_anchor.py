import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, margin):
        super().__init__()
        self.margin = margin

    def forward(self, anchor, positive, negative):
        # One buffer for both differences, and a norm that squares, sums and takes the root in a single pass.
        difference = anchor - positive
        to_positive = torch.linalg.vector_norm(difference, dim=1)
        torch.sub(anchor, negative, out=difference)
        to_negative = torch.linalg.vector_norm(difference, dim=1)
        return to_positive.sub_(to_negative).add_(self.margin).relu_()
