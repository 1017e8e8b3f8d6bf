# control: the reference itself under the other name
# task: gated
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    """Keeps what a mask allows, times the size of a gain that starts at one, plus a faint correction."""

    def __init__(self, features):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(features))
        self.linear = nn.Linear(features, features)

    def forward(self, x, mask):
        clean = torch.nan_to_num(x)
        kept = torch.where(mask, clean, torch.zeros_like(x))
        return kept * torch.abs(self.gain) + 1e-5 * self.linear(clean)


def get_inputs():
    return [torch.randn(384, 384), torch.ones(384, 384, dtype=torch.bool).tril()]


def get_init_inputs():
    return [384]
