# control: a pool of threads that stays alive, idle, between the calls
# task: matmul
# timed: yes
from concurrent.futures import ThreadPoolExecutor

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.pool = ThreadPoolExecutor(2)

    def forward(self, a, b):
        half = a.shape[0] // 2
        parts = self.pool.map(lambda rows: torch.matmul(rows, b), (a[:half], a[half:]))
        return torch.cat(list(parts))
