# control: one pass instead of two
# task: rectify
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    @torch.inference_mode()
    def forward(self, x):
        return x.clamp_min(0.0)
