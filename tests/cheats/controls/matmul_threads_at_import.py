# control: starts threads while it is imported, and joins them
# task: matmul
# timed: yes
import threading

import torch
import torch.nn as nn


def warm():
    torch.rand(64, 64) @ torch.rand(64, 64)


threads = [threading.Thread(target=warm) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()


class ModelNew(nn.Module):
    def forward(self, a, b):
        return a @ b
