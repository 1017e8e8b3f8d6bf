import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, q_mean, q_logvar, p_mean, p_logvar):
        # Same terms, block of rows by block of rows: the temporaries are overwritten in place and stay in the cache.
        result = q_mean.new_empty(q_mean.shape[0])
        parts = zip(q_mean.split(512), q_logvar.split(512), p_mean.split(512), p_logvar.split(512), result.split(512))
        for qm, qv, pm, pv, out in parts:
            scratch = qm - pm
            terms = torch.exp(qv).addcmul_(scratch, scratch)
            torch.exp(pv, out=scratch)
            terms.div_(scratch)
            torch.sub(pv, qv, out=scratch)
            torch.sum(terms.add_(scratch).sub_(1.0), dim=1, out=out)
        return result.mul_(0.5)
