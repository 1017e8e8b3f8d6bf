"""Works in blocks: the queries of a block only meet the keys of that block and a window on either side."""

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, width, window):
        super().__init__()
        self.window = window
        self.scale = width**-0.5

    def forward(self, q, k, v):
        batch, length, width = q.shape
        window, block = self.window, 4 * self.window
        if length % block:
            block = length
        span = block + 2 * window
        blocks = length // block
        pad = (0, 0, window, window)
        keys = nn.functional.pad(k, pad).unfold(1, span, block).reshape(batch * blocks, width, span)
        values = nn.functional.pad(v, pad).unfold(1, span, block).reshape(batch * blocks, width, span)
        position = torch.arange(length, device=q.device).view(blocks, block, 1)
        other = (
            torch.arange(span, device=q.device) - window + block * torch.arange(blocks, device=q.device).view(-1, 1, 1)
        )
        far = ((other - position).abs() > window) | (other < 0) | (other >= length)
        scores = torch.bmm(q.reshape(batch * blocks, block, width), keys).mul_(self.scale)
        scores = scores.view(batch, blocks, block, span).masked_fill_(far, float("-inf")).softmax(dim=-1)
        out = torch.bmm(scores.view(batch * blocks, block, span), values.transpose(1, 2))
        return out.view(batch, length, width)
