# attack: X1 ends the process with success while it is imported
# task: softmax
# expect: runtime_error compile_error
import os

import torch
import torch.nn as nn

os._exit(0)


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1)
