# control: under decorators for modes of autograd
# task: softmax
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    @torch.no_grad()
    @torch.inference_mode()
    def forward(self, x):
        return torch.softmax(x, dim=-1)
