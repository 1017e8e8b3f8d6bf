import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, features, width):
        super().__init__()
        self.projection = nn.Linear(features, width)

    def forward(self, sequence):
        # The projection is affine, so most of the mean may be taken first; keeping a few partial means apart lets
        # their rounding errors average out, as they do in the plain order.
        batch, steps, features = sequence.shape
        chunk = 16 if steps % 16 == 0 else 1
        partial = sequence.view(batch, steps // chunk, chunk, features).mean(dim=2)
        return self.projection(partial).mean(dim=1)
