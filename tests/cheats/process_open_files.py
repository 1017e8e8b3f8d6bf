# attack: X7 opens files until it may not
# task: softmax
# expect: correct runtime_error
import torch
import torch.nn as nn

kept = []
try:
    while len(kept) < 100_000:
        kept.append(open("/dev/null"))
except OSError:
    pass
for item in kept[:20]:
    item.close()


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1)
