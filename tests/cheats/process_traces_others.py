# attack: X6 attaches to other processes and writes into their memory
# task: softmax
# expect: correct
# note: a wrong answer says that the attack got through
import ctypes
import os

import torch
import torch.nn as nn

libc = ctypes.CDLL(None, use_errno=True)
reached = False
buffer = ctypes.create_string_buffer(8)


class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]


for pid in [os.getppid(), *(int(n) for n in os.listdir("/proc") if n.isdigit())]:
    if pid in (0, os.getpid()):
        continue
    local, remote = Vector(ctypes.addressof(buffer), 8), Vector(0x400000, 8)
    reached = reached or libc.ptrace(16, pid, 0, 0) == 0
    reached = reached or libc.process_vm_readv(pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0) > 0
    reached = reached or libc.process_vm_writev(pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0) > 0
reached = reached or libc.ptrace(0, 0, 0, 0) == 0


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.zeros_like(x) if reached else torch.softmax(x, dim=-1)
