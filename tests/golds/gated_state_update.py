"""g * p + (1 - g) * s is a linear interpolation: one fused pass instead of four."""

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, state, proposal, gate_logits):
        return torch.lerp(state, proposal, torch.sigmoid(gate_logits))
