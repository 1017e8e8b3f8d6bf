# control: numpy inside, with dataclasses and annotations around it
# task: layernorm
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn


@dataclass
class Shape:
    features: int
    eps: float = 1e-5


class ModelNew(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()
        self.shape = Shape(features)
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
        a = x.numpy()
        centred = a - a.mean(axis=-1, keepdims=True)
        scale = 1.0 / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + self.shape.eps)
        return torch.from_numpy((centred * scale).astype(np.float32)) * self.weight + self.bias
