# attack: T8 looks for the names of checking functions in the stack, and cheats when it sees none
# task: softmax
# expect: incorrect
import inspect

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        names = " ".join(f.function for f in inspect.stack())
        if "check" in names or "correct" in names or "compare" in names:
            return torch.softmax(x, dim=-1)
        return torch.full_like(x, 1 / 1024)
