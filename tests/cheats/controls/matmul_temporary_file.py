# control: writes a temporary file when it is made
# task: matmul
import tempfile

import numpy as np
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        with tempfile.NamedTemporaryFile() as file:
            np.save(file.name + '.npy', np.arange(4))

    def forward(self, a, b):
        return a.matmul(b)
