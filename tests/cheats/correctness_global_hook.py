# attack: R2 answers from a hook on all modules, with what it answered first
# task: linear_relu
# expect: incorrect
import torch
import torch.nn as nn


first = []


def hook(module, arguments, output):
    if isinstance(module, ModelNew):
        first.append(output)
        return first[0].clone()


class ModelNew(nn.Module):
    def __init__(self, features, width):
        super().__init__()
        self.linear = nn.Linear(features, width)

    def forward(self, x):
        return torch.relu(self.linear(x))


nn.modules.module.register_module_forward_hook(hook)
