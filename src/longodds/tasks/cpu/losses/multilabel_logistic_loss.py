"""Mean logistic loss of each example over many independent labels."""

import torch
import torch.nn as nn

SCALE = 1
EXAMPLES = 1024 * SCALE
LABELS = 640


class Model(nn.Module):
    """Stable binary cross-entropy on logits, written out."""

    def __init__(self):
        super().__init__()

    def forward(self, logits, targets):
        """logits (EXAMPLES, LABELS), targets (EXAMPLES, LABELS) in [0, 1] -> (EXAMPLES,)"""
        positive = torch.clamp(logits, min=0)
        penalty = torch.log1p(torch.exp(-torch.abs(logits)))
        loss = positive - logits * targets + penalty
        return loss.mean(dim=1)


def get_inputs():
    return [torch.randn(EXAMPLES, LABELS), torch.rand(EXAMPLES, LABELS)]


def get_init_inputs():
    return []
