"""Weights over items from additive scores: a user term, an item term and an interaction."""

import torch
import torch.nn as nn

SCALE = 1
USERS = 1000 * SCALE
ITEMS = 850
TEMPERATURE = 1.6


class Model(nn.Module):
    """softmax over items of (interaction[u, i] + user_bias[u] + item_bias[i]) / temperature."""

    def __init__(self, items, temperature):
        super().__init__()
        self.item_bias = nn.Parameter(torch.randn(items))
        self.temperature = temperature

    def forward(self, interaction, user_bias):
        scores = interaction + user_bias.unsqueeze(1) + self.item_bias
        return torch.softmax(scores / self.temperature, dim=1)


def get_inputs():
    return [torch.randn(USERS, ITEMS), torch.randn(USERS)]


def get_init_inputs():
    return [ITEMS, TEMPERATURE]
