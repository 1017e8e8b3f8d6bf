# attack: T6 overwrites the system library's clock with machine code
# task: softmax
# timed: yes
# expect: rejected incorrect runtime_error timeout
import ctypes
import mmap
import platform

import torch
import torch.nn as nn


CODE = bytes.fromhex("48c70600000000" "48c7460800000000" "31c0" "c3")  # time is zero, no error


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        libc = ctypes.CDLL(None, use_errno=True)
        address = ctypes.cast(libc.clock_gettime, ctypes.c_void_p).value
        page = mmap.PAGESIZE
        start = address // page * page
        if platform.machine() != "x86_64" or libc.mprotect(ctypes.c_void_p(start), 2 * page, 7):
            raise RuntimeError("the clock can't be written")
        ctypes.memmove(address, CODE, len(CODE))

    def forward(self, x):
        return torch.softmax(x, dim=-1)
