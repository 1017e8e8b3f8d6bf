# attack: T13 changes every global setting that might slow or spoil somebody else
# task: softmax
# timed: yes
# expect: correct
# harmless-if-it-fails
import gc
import os
import sys

import torch
import torch.nn as nn

torch.set_default_dtype(torch.float64)
torch.set_flush_denormal(True)
torch.use_deterministic_algorithms(True, warn_only=True)
torch.set_float32_matmul_precision("medium")
torch.backends.mkldnn.enabled = False
torch.manual_seed(0)
sys.setrecursionlimit(150)
sys.setswitchinterval(1e-6)
gc.set_threshold(1)
os.environ["OMP_NUM_THREADS"] = "64"


class ModelNew(nn.Module):
    def forward(self, x):
        torch.set_grad_enabled(True)
        return torch.softmax(x, dim=-1)
