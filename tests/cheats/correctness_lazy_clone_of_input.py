# attack: C3 returns a copy of the input that shares its memory until somebody writes
# task: rectify
# expect: incorrect runtime_error
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        return x._lazy_clone()
