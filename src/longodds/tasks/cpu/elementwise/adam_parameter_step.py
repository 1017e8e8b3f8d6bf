"""One Adam update of a weight matrix from its gradient and the two running moments."""

import torch
import torch.nn as nn

SCALE = 1
OUT_FEATURES = 384 * SCALE
IN_FEATURES = 1024
STEP = 20


class Model(nn.Module):
    """Returns the weight after the step; the moments are inputs and are not written."""

    def __init__(self, step):
        super().__init__()
        self.step = step
        self.beta1, self.beta2 = 0.9, 0.99
        self.lr, self.eps = 0.05, 1e-6

    def forward(self, weight, grad, exp_avg, exp_avg_sq):
        exp_avg = self.beta1 * exp_avg + (1 - self.beta1) * grad
        exp_avg_sq = self.beta2 * exp_avg_sq + (1 - self.beta2) * grad**2
        corrected_avg = exp_avg / (1 - self.beta1**self.step)
        corrected_sq = exp_avg_sq / (1 - self.beta2**self.step)
        return weight - self.lr * corrected_avg / (torch.sqrt(corrected_sq) + self.eps)


def get_inputs():
    shape = (OUT_FEATURES, IN_FEATURES)
    return [torch.randn(shape), torch.randn(shape), torch.randn(shape), torch.randn(shape).square()]


def get_init_inputs():
    return [STEP]
