# attack: X6 replaces the code of the functions that serve calls
# task: softmax
# expect: runtime_error incorrect rejected timeout
import gc
import types

import torch
import torch.nn as nn

gc.unfreeze()
for item in gc.get_objects():
    if isinstance(item, types.FunctionType) and item.__module__ in ("longodds.evaluator.shim", "longodds.evaluator.frames", "longodds.evaluator.tree"):
        item.__code__ = (lambda *a, **k: None).__code__


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.zeros_like(x)
