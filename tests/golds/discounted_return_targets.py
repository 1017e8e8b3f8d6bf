import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, discount):
        super().__init__()
        self.discount = discount

    def forward(self, rewards, done):
        # Time-major copies make every step contiguous, the discounts are prepared at once, and one fused
        # multiply-add a step writes straight into the result.
        factor = (1.0 - done.t()).mul_(self.discount).contiguous().unbind(0)
        reward = rewards.t().clone(memory_format=torch.contiguous_format)
        for t in range(reward.shape[0] - 2, -1, -1):
            reward[t].addcmul_(reward[t + 1], factor[t])
        return reward.t().contiguous()
