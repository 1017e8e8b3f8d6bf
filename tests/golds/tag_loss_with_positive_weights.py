import torch
import torch.nn as nn
import torch.nn.functional as F


class ModelNew(nn.Module):
    def __init__(self, tags):
        super().__init__()
        self.register_buffer("positive_weight", torch.rand(tags) * 4.0 + 1.0)

    def forward(self, logits, targets):
        # logsigmoid(-x) = logsigmoid(x) - x, so a single logsigmoid is enough; blocks of rows stay in the cache.
        extra = self.positive_weight - 1.0
        result = logits.new_empty(logits.shape[0])
        for x, t, out in zip(logits.split(128), targets.split(128), result.split(128)):
            loss = (t * extra).add_(1.0).mul_(F.logsigmoid(x).neg_())
            torch.mean(loss.addcmul_(1.0 - t, x), dim=1, out=out)
        return result
