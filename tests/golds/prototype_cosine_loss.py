import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, classes, features):
        super().__init__()
        self.prototypes = nn.Parameter(torch.randn(classes, features))

    def forward(self, features, labels):
        # The few prototypes are normalised before they are looked up, and all dot products come from one product
        # with the small table; the lengths of the features divide one number an item.
        unit = self.prototypes / self.prototypes.norm(dim=1, keepdim=True)
        cosine = torch.mm(features, unit.t()).gather(1, labels.unsqueeze(1)).squeeze(1)
        return cosine.div_(features.norm(dim=1)).neg_().add_(1.0)
