# control: collects garbage in every call
# task: softmax
import gc

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        gc.collect(0)
        return torch.softmax(x, dim=-1)
