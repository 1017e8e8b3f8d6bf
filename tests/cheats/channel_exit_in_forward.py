# attack: X1 ends the process with success in a call
# task: softmax
# expect: runtime_error
import os

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        os._exit(0)
