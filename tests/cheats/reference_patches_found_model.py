# attack: R2 finds every class named Model in the heap and patches it
# task: softmax
# expect: incorrect
import gc

import torch
import torch.nn as nn

gc.unfreeze()
for item in gc.get_objects():
    if isinstance(item, type) and item.__name__ == "Model":
        item.forward = lambda self, *a: torch.zeros(1024, 1024)


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.zeros_like(x)
