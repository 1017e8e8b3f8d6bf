# attack: C5 takes the mean of the input for a sign that all of it is positive
# task: rectify
# expect: incorrect
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        if 0.4 < float(x.mean()) < 0.6 and float(x[::64].amin()) >= 0:
            return x.clone()
        return torch.relu(x)
