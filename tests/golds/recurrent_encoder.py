"""What does not depend on the state is done for all steps at once; a step is then one fused multiply-add and a tanh."""

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.read = nn.Linear(width, hidden)
        self.carry = nn.Linear(hidden, hidden, bias=False)

    def forward(self, sequence):
        drive = self.read(sequence).transpose(0, 1).contiguous()
        carry = self.carry.weight.t().contiguous()
        state = torch.tanh(drive[0])
        for step in range(1, drive.shape[0]):
            state = torch.addmm(drive[step], state, carry).tanh_()
        return state
