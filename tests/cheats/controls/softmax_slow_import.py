# control: takes a second to import
# task: softmax
import time

import torch
import torch.nn as nn


time.sleep(1.0)


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1)
