# control: warns and logs in every call
# task: softmax
import logging
import warnings

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        warnings.warn('slow path', stacklevel=1)
        logging.getLogger(__name__).warning('called')
        return torch.softmax(x, dim=-1)
