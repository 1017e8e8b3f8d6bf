# control: a scripted function
# task: linear_relu
import torch
import torch.nn as nn


@torch.jit.script
def step(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.relu(torch.addmm(b, x, w.t()))


class ModelNew(nn.Module):
    def __init__(self, features, width):
        super().__init__()
        self.linear = nn.Linear(features, width)

    def forward(self, x):
        return step(x, self.linear.weight, self.linear.bias)
