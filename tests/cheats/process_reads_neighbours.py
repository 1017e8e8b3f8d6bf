# attack: X4 looks for the folders of other candidates
# task: softmax
# expect: correct
# note: a wrong answer says that the attack got through
import glob
import os

import torch
import torch.nn as nn

here = os.getcwd()
reached = any(p != here for p in glob.glob(os.path.dirname(here) + "/*") + glob.glob("/tmp/longodds-*/*"))


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.zeros_like(x) if reached else torch.softmax(x, dim=-1)
