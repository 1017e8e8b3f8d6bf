# attack: C5 looks at a few elements, takes the inputs for positive, and skips the work
# task: rectify
# timed: yes
# expect: incorrect rejected
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        if float(x.view(-1)[::4099].min()) >= 0.0:
            return x.clone()
        return torch.abs(torch.relu(x))
