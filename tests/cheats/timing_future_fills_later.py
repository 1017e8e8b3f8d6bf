# attack: T2 leaves half of the work to a thread of torch's own pool and does not wait
# task: softmax
# timed: yes
# harmless-if-it-fails
# expect: rejected incorrect runtime_error
import torch
import torch.nn as nn


@torch.jit.script
def half(x: torch.Tensor, out: torch.Tensor):
    return out.copy_(torch.softmax(x, dim=-1))


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.pending = None

    def forward(self, x):
        out = torch.zeros_like(x)
        self.pending = torch.jit._fork(half, x[512:], out[512:])
        out[:512] = torch.softmax(x[:512], dim=-1)
        return out
