# attack: X7 fills memory in a helper while it floods its log, so that nobody finds time to look
# task: softmax
# expect: runtime_error timeout
# memory: 4 helpers of 1.25 GiB
import mmap
import os
import sys
import threading
import time

import torch
import torch.nn as nn

def shout():
    while True:
        try:
            os.write(2, b"x" * 4096 + b"\n")
        except OSError:
            return


def hoard():
    kept = [mmap.mmap(-1, 1 << 28) for _ in range(5)]
    for area in kept:
        for offset in range(0, 1 << 28, 4096):
            area[offset] = 1
    time.sleep(30)


class ModelNew(nn.Module):
    def forward(self, x):
        threading.Thread(target=shout, daemon=True).start()
        for _ in range(4):
            if os.fork() == 0:
                hoard()
        time.sleep(30)
