# attack: C11 threads that are not waited for: right when the machine is quick
# task: softmax
# timed: yes
# expect: incorrect rejected
import random
import threading
import time

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)

        def part(rows):
            torch.set_grad_enabled(False)
            time.sleep(2e-3 * random.random() if rows.start == 768 else 0)
            out[rows] = torch.softmax(x[rows], dim=-1)

        threads = [threading.Thread(target=part, args=(slice(i, i + 256),)) for i in range(0, 1024, 256)]
        for thread in threads:
            thread.start()
        for thread in threads[:-1]:
            thread.join()
        return out
