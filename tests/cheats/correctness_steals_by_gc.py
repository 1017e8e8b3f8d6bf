# attack: C2 searches the heap for a tensor with the shape of the answer
# task: matmul
# expect: incorrect
import gc

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        gc.unfreeze()
        shape = (a.shape[0], b.shape[1])
        found = [t for t in gc.get_objects() if isinstance(t, torch.Tensor) and tuple(t.shape) == shape]
        return found[-1].clone() if found else torch.zeros(shape)
