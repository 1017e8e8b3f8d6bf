"""One grouped convolution does all channels."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class ModelNew(nn.Module):
    def __init__(self, channels, kernel):
        super().__init__()
        self.filters = nn.Parameter(torch.randn(channels, kernel, kernel) / kernel)
        self.padding = kernel // 2

    def forward(self, image):
        return F.conv2d(image, self.filters.unsqueeze(1), padding=self.padding, groups=image.shape[1])
