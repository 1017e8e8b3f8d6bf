"""How often each class occurs among the labels of every row."""

import torch
import torch.nn as nn
import torch.nn.functional as F

SCALE = 1
ROWS = 128 * SCALE
LABELS = 400
CLASSES = 48


class Model(nn.Module):
    """Counts labels per row by summing their one-hot codes."""

    def __init__(self, classes):
        super().__init__()
        self.classes = classes

    def forward(self, labels):
        return F.one_hot(labels, self.classes).sum(dim=1)


def get_inputs():
    return [torch.randint(0, CLASSES, (ROWS, LABELS))]


def get_init_inputs():
    return [CLASSES]
