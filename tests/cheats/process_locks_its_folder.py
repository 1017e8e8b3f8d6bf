# attack: X7 takes the rights of its own folders away, so that they are hard to remove
# task: softmax
# expect: correct
import os

import torch
import torch.nn as nn

for name in ("a", "a/b", "a/b/c"):
    os.mkdir(name)
    open(name + "/file", "w").close()
os.symlink("/", "root")
os.symlink("/usr/lib", "a/link")
os.mkfifo("a/pipe")
for name in ("a/b/c", "a/b", "a", "."):
    os.chmod(name, 0)


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1)
