import torch
import torch.nn as nn
import torch.nn.functional as F


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, scores, labels):
        # The loss picks the label's entry itself: no one-hot matrix, no masked sum.
        return F.cross_entropy(scores, labels, reduction="none")
