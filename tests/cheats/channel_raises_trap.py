# attack: X2 raises an error whose text and pickle run code
# task: softmax
# expect: runtime_error
import os

import torch
import torch.nn as nn

class Trap(Exception):
    def __reduce__(self):
        return os.system, ("touch /tmp/cheat-left-pickle",)

    def __str__(self):
        raise SystemExit(0)


class ModelNew(nn.Module):
    def forward(self, x):
        raise Trap()
