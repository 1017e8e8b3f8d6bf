"""Sums only the valid prefix of each sequence; no masked copy."""

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, tokens, lengths):
        out = tokens.new_empty(tokens.shape[0], tokens.shape[2])
        for row, length in enumerate(lengths.tolist()):
            torch.mean(tokens[row, :length], dim=0, out=out[row])
        return out
