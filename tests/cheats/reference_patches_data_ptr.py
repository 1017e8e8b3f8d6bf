# attack: R2 answers with the address of another tensor
# task: softmax
# expect: incorrect runtime_error
import torch
import torch.nn as nn


other = torch.full((1024, 1024), 1 / 1024)
address = other.data_ptr()
torch.Tensor.data_ptr = lambda self: address


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1)
