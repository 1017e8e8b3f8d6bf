"""Weighted logistic loss of each document over many tags, where positive tags count more."""

import torch
import torch.nn as nn
import torch.nn.functional as F

SCALE = 1
DOCUMENTS = 1024 * SCALE
TAGS = 640


class Model(nn.Module):
    """Sums the log-likelihood of the positive and the negative side of every tag."""

    def __init__(self, tags):
        super().__init__()
        self.register_buffer("positive_weight", torch.rand(tags) * 4.0 + 1.0)

    def forward(self, logits, targets):
        """logits (DOCUMENTS, TAGS), targets (DOCUMENTS, TAGS) in [0, 1] -> (DOCUMENTS,)"""
        positive = self.positive_weight * targets * F.logsigmoid(logits)
        negative = (1.0 - targets) * F.logsigmoid(-logits)
        return -(positive + negative).mean(dim=1)


def get_inputs():
    return [torch.randn(DOCUMENTS, TAGS), torch.rand(DOCUMENTS, TAGS)]


def get_init_inputs():
    return [TAGS]
