# task: small
# attack: an assertion on the device fails, an error that stays with its context
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        return x[torch.full((4,), 1 << 20, device="cuda")]
