# attack: X6 asks the loader of later processes for a library of its own
# task: softmax
# expect: correct
# note: a wrong answer says that the attack got through
import os

import torch
import torch.nn as nn

for name in ("LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONSTARTUP"):
    os.environ[name] = os.getcwd()
reached = False
for path in ("/etc/ld.so.preload", "/etc/environment"):
    try:
        open(path, "a").close()
        reached = True
    except OSError:
        pass


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.zeros_like(x) if reached else torch.softmax(x, dim=-1)
