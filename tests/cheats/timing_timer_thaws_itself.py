# attack: T11 arms a timer whose signal wakes it when it is stopped, and burns the core while the reference runs
# task: matmul
# timed: yes
# expect: rejected
# harmless-if-it-fails
import ctypes
import hashlib
import signal
import threading
import time

import torch
import torch.nn as nn


class Event(ctypes.Structure):
    _fields_ = [("value", ctypes.c_void_p), ("signo", ctypes.c_int), ("notify", ctypes.c_int), ("pad", ctypes.c_char * 48)]


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.go = threading.Event()
        self.junk = bytes(1 << 20)
        libc = ctypes.CDLL(None, use_errno=True)
        timer = ctypes.c_void_p()
        event = Event(None, signal.SIGCONT, 0)
        libc.timer_create(1, ctypes.byref(event), ctypes.byref(timer))
        spec = (ctypes.c_long * 4)(0, 100_000, 0, 100_000)
        libc.timer_settime(timer, 0, ctypes.byref(spec), None)
        threading.Thread(target=self.work, daemon=True).start()

    def work(self):
        while True:
            self.go.wait()
            self.go.clear()
            time.sleep(2e-4)
            hashlib.sha256(self.junk)

    def forward(self, a, b):
        out = torch.matmul(a, b)
        self.go.set()
        return out
