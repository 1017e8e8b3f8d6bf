# control: prints a lot, warns and logs
# task: softmax
# timed: yes
import logging
import sys
import warnings

import torch
import torch.nn as nn

print("loading", "x" * 100_000)
warnings.warn("a warning at import", stacklevel=1)
logging.getLogger(__name__).error("an error in the log")


class ModelNew(nn.Module):
    def forward(self, x):
        print("input", tuple(x.shape))
        print("half way\n" * 50, file=sys.stderr)
        out = torch.softmax(x, dim=-1)
        sys.stdout.flush()
        return out
