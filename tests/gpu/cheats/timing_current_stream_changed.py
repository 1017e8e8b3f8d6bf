# task: gelu
# attack: the current stream is another one when the clock is stopped
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.idle = torch.cuda.Stream()

    def forward(self, x):
        y = torch.nn.functional.gelu(x) * 2 + x
        torch.cuda.set_stream(self.idle)
        return y
