import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def forward(self, transition, states):
        # A step on a handful of states is far cheaper than squaring the matrix.
        for _ in range(self.steps):
            states = transition @ states
        return states
