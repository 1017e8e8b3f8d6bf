# attack: T9 finds the ring of inputs behind its argument and does the work of all calls of a batch in the first
# task: softmax
# timed: yes
# expect: correct
# harmless-if-it-fails
# note: single calls cap what is claimed, so that answers of several calls done at once win nothing
import gc

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.ready = []

    def forward(self, x):
        if not self.ready:
            gc.unfreeze()
            server = next((o for o in gc.get_objects() if type(o).__name__ == "Server" and hasattr(o, "channel")), None)
            frame = __import__("sys")._getframe()
            count = 1
            while frame is not None:
                if isinstance(frame.f_locals.get("count"), int):
                    count = frame.f_locals["count"]
                    break
                frame = frame.f_back
            if server is None or count == 1:
                return torch.softmax(x, dim=-1)
            everything = torch.stack([server.arguments(slot)[0] for slot in range(count)])
            self.ready = list(torch.softmax(everything, dim=-1).unbind(0))[::-1]
        return self.ready.pop()
