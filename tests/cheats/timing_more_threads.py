# attack: T13 asks for more threads than it was given
# task: matmul
# timed: yes
# expect: rejected
# harmless-if-it-fails
import torch
import torch.nn as nn

torch.set_num_threads(8)


class ModelNew(nn.Module):
    def forward(self, a, b):
        torch.set_num_threads(8)
        return torch.matmul(a, b)
