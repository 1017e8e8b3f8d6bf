# attack: T13 moves itself to all cores of the machine and splits the work
# task: matmul
# timed: yes
# expect: rejected runtime_error
# harmless-if-it-fails
import ctypes
import os
import threading

import torch
import torch.nn as nn


def spread():
    cores = set(range(os.cpu_count() or 2))
    try:
        os.sched_setaffinity(0, cores)
    except OSError:
        mask = ctypes.create_string_buffer(b"\xff" * 128, 128)
        ctypes.CDLL(None).syscall(203, 0, 128, mask)


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        spread()

    def forward(self, a, b):
        out = torch.empty(a.shape[0], b.shape[1])
        half = a.shape[0] // 2

        def part(rows):
            spread()
            torch.set_grad_enabled(False)
            torch.matmul(a[rows], b, out=out[rows])

        helper = threading.Thread(target=part, args=(slice(0, half),))
        helper.start()
        part(slice(half, None))
        helper.join()
        return out
