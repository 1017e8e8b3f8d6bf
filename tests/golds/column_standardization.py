"""Centres once and keeps that buffer; the spread comes from the centred columns instead of a slow strided std."""

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, eps):
        super().__init__()
        self.eps = eps

    def forward(self, data):
        centred = data - data.mean(dim=0)
        variance = centred.square().sum(dim=0) / (data.shape[0] - 1)
        return centred.div_(variance.sqrt_().add_(self.eps))
