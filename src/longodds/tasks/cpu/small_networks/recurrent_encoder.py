"""Last hidden state of a simple recurrent network with a tanh."""

import torch
import torch.nn as nn

SCALE = 1
BATCH = 64 * SCALE
STEPS = 48
WIDTH = 128
HIDDEN = 64


class Model(nn.Module):
    """Reads a sequence step by step."""

    def __init__(self, width, hidden):
        super().__init__()
        self.read = nn.Linear(width, hidden)
        self.carry = nn.Linear(hidden, hidden, bias=False)

    def forward(self, sequence):
        state = sequence.new_zeros(sequence.shape[0], self.carry.in_features)
        for step in range(sequence.shape[1]):
            state = torch.tanh(self.read(sequence[:, step]) + self.carry(state))
        return state


def get_inputs():
    return [torch.randn(BATCH, STEPS, WIDTH)]


def get_init_inputs():
    return [WIDTH, HIDDEN]
