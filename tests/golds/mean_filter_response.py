"""The mean of a convolution is a product with the means of the shifted images: one per tap of the kernel."""

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, channels, filters):
        super().__init__()
        self.bank = nn.Conv2d(channels, filters, kernel_size=3)

    def forward(self, images):
        height, width = images.shape[2] - 2, images.shape[3] - 2
        columns = torch.stack([images[..., j : j + width].sum(dim=-1) for j in range(3)], dim=-1)
        windows = torch.stack([columns[:, :, i : i + height].sum(dim=2) for i in range(3)], dim=2)
        means = windows.flatten(1) / (height * width)
        return torch.addmm(self.bank.bias, means, self.bank.weight.flatten(1).t())
