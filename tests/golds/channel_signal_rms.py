"""Norms need no squared copy; the norm of norms adds up short runs, which keeps the rounding error small."""

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, spectrogram):
        count = spectrogram.shape[2] * spectrogram.shape[3]
        per_band = torch.linalg.vector_norm(spectrogram, dim=3)
        return torch.linalg.vector_norm(per_band, dim=2).div_(count**0.5)
