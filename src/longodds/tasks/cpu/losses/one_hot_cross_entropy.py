"""Cross-entropy of class scores against integer labels, one value for each example."""

import torch
import torch.nn as nn
import torch.nn.functional as F

SCALE = 1
EXAMPLES = 2048 * SCALE
CLASSES = 512


class Model(nn.Module):
    """Selects the log-probability of the label with a one-hot mask."""

    def __init__(self):
        super().__init__()

    def forward(self, scores, labels):
        """scores (EXAMPLES, CLASSES), labels (EXAMPLES,) int64 -> (EXAMPLES,)"""
        one_hot = F.one_hot(labels, num_classes=scores.shape[1]).float()
        log_probs = F.log_softmax(scores, dim=1)
        return -(one_hot * log_probs).sum(dim=1)


def get_inputs():
    return [torch.randn(EXAMPLES, CLASSES), torch.randint(0, CLASSES, (EXAMPLES,))]


def get_init_inputs():
    return []
