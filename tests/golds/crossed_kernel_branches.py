"""All three branches are convolutions of one image, so their kernels add up to a single 3x3 kernel."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class ModelNew(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.square = nn.Conv2d(channels, channels, kernel_size=(3, 3), padding=(1, 1))
        self.tall = nn.Conv2d(channels, channels, kernel_size=(3, 1), padding=(1, 0))
        self.flat = nn.Conv2d(channels, channels, kernel_size=(1, 3), padding=(0, 1))

    def forward(self, image):
        kernel = self.square.weight.clone()
        kernel[..., 1:2] += self.tall.weight
        kernel[..., 1:2, :] += self.flat.weight
        bias = self.square.bias + self.tall.bias + self.flat.bias
        return F.conv2d(image, kernel, bias, padding=1)
