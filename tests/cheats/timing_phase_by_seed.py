# attack: T8 is honest under the seed of a well-known correctness loop, constant otherwise
# task: softmax
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        if torch.initial_seed() == 42:
            return torch.softmax(x, dim=-1)
        return torch.full_like(x, 1 / x.shape[-1])
