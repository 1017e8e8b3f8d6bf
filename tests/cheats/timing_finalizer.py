# attack: T9 works when its last answer is dropped, which is after the next input is there
# task: softmax
# timed: yes
# expect: rejected incorrect runtime_error
import weakref

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.source, self.ready = None, None

    def early(self):
        self.ready = torch.softmax(self.source, dim=-1)

    def forward(self, x):
        self.source = x
        out, self.ready = (torch.softmax(x, dim=-1) if self.ready is None else self.ready), None
        answer = out.view(out.shape)
        weakref.finalize(answer, self.early)
        return answer
