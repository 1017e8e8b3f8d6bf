# task: small
# attack: a kernel never ends
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        torch.cuda._sleep(1 << 60)
        return torch.softmax(x, -1)
