# control: threads that are joined before the call returns
# task: matmul
# timed: yes
import threading

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        out = torch.empty(a.shape[0], b.shape[1])

        def part(rows):
            with torch.no_grad():
                torch.matmul(a[rows], b, out=out[rows])

        threads = [threading.Thread(target=part, args=(slice(i, i + 128),)) for i in range(0, a.shape[0], 128)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return out
