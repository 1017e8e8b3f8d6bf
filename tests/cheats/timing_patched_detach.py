# attack: T9 works while its arguments are being made
# task: softmax
# timed: yes
# expect: rejected incorrect runtime_error
import torch
import torch.nn as nn


real = torch.Tensor.detach
ready = []


def detach(self):
    out = real(self)
    if self.shape == (1024, 1024):
        ready[:] = [torch.softmax(out, dim=-1)]
    return out


torch.Tensor.detach = detach


class ModelNew(nn.Module):
    def forward(self, x):
        return ready.pop() if ready else torch.softmax(x, dim=-1)
