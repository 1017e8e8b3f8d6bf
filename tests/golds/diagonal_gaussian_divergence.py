import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, q_mean, q_logvar, p_mean, p_logvar):
        # Same terms, but the temporaries of our own are overwritten in place, so memory is touched far less.
        distance = q_mean - p_mean
        spread = torch.exp(q_logvar).addcmul_(distance, distance)
        torch.exp(p_logvar, out=distance)
        terms = spread.div_(distance)
        torch.sub(p_logvar, q_logvar, out=distance)
        return terms.add_(distance).sub_(1.0).sum(dim=1).mul_(0.5)
