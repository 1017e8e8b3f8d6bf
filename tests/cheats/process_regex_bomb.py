# attack: X5 a loop in C that no Python signal interrupts
# task: softmax
# expect: timeout
# plain-only: nothing in it to disguise
import re

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        re.match(r"(a+)+$", "a" * 64 + "b")
        return torch.softmax(x, dim=-1)
