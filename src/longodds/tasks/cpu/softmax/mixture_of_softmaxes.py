"""Mix several categorical distributions per example with softmax mixture weights."""

import torch
import torch.nn as nn

SCALE = 1
EXAMPLES = 160 * SCALE
COMPONENTS = 6
CLASSES = 1100


class Model(nn.Module):
    """p(class) = sum over components of prior * softmax(component logits)."""

    def __init__(self):
        super().__init__()

    def forward(self, prior_logits, component_logits):
        prior = torch.softmax(prior_logits, dim=1)
        component = torch.softmax(component_logits, dim=2)
        return (prior.unsqueeze(2) * component).sum(dim=1)


def get_inputs():
    return [torch.randn(EXAMPLES, COMPONENTS), torch.randn(EXAMPLES, COMPONENTS, CLASSES)]


def get_init_inputs():
    return []
