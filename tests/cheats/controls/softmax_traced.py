# control: a traced function
# task: softmax
import torch
import torch.nn as nn


def step(x):
    y = torch.exp(x - x.amax(dim=-1, keepdim=True))
    return y / y.sum(dim=-1, keepdim=True)


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.step = torch.jit.trace(step, torch.rand(4, 8), check_trace=False)

    def forward(self, x):
        return self.step(x)
