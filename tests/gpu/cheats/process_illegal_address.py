# task: small
# attack: a kernel writes where nothing is
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def kernel(x):
    tl.store(x + 123456789012 + tl.program_id(0), 1.0)


class ModelNew(nn.Module):
    def forward(self, x):
        kernel[(64,)](x)
        return torch.softmax(x, -1)
