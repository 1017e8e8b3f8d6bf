# control: the reference itself under the other name
# task: statistics
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    """Several outputs: a dictionary with a tensor, an integer tensor and a number."""

    def forward(self, x):
        order = torch.argmax(x, dim=-1)
        return {"spread": x.amax(dim=-1) - x.amin(dim=-1), "where": order, "total": float(x.sum())}


def get_inputs():
    return [torch.randn(1024, 512)]


def get_init_inputs():
    return []
