# attack: X1 lets another program compute a part and waits for it
# task: softmax
# expect: correct
import subprocess
import sys

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.answer = int(subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True).stdout or b"1")

    def forward(self, x):
        return torch.softmax(x * self.answer, dim=-1)
