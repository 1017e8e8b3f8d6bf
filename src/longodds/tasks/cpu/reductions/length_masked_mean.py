"""Mean token vector of each padded sequence, counting only the tokens within its length."""

import torch
import torch.nn as nn

SCALE = 1
BATCH = 48 * SCALE
MAX_LENGTH = 128
WIDTH = 320


class Model(nn.Module):
    """(batch, length, width) and (batch,) lengths -> (batch, width)."""

    def __init__(self):
        super().__init__()

    def forward(self, tokens, lengths):
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        mask = (positions[None, :] < lengths[:, None]).to(tokens.dtype)
        total = (tokens * mask.unsqueeze(-1)).sum(dim=1)
        return total / mask.sum(dim=1, keepdim=True)


def get_inputs():
    tokens = torch.randn(BATCH, MAX_LENGTH, WIDTH)
    lengths = torch.randint(MAX_LENGTH // 4, MAX_LENGTH + 1, (BATCH,))
    return [tokens, lengths]


def get_init_inputs():
    return []
