# attack: T11 arms a hundred signal timers at the end of each call, their signals blocked
# task: matmul
# timed: yes
# expect: rejected
# harmless-if-it-fails
import ctypes
import signal

import torch
import torch.nn as nn

libc = ctypes.CDLL(None, use_errno=True)
libc.timer_settime.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]


class Event(ctypes.Structure):
    _fields_ = [("value", ctypes.c_void_p), ("signo", ctypes.c_int), ("notify", ctypes.c_int), ("pad", ctypes.c_char * 48)]


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGRTMIN})
        self.timers = []
        for i in range(180):
            timer = ctypes.c_void_p()
            event = Event(None, signal.SIGRTMIN, 0)
            if libc.timer_create(1, ctypes.byref(event), ctypes.byref(timer)) == 0:
                self.timers.append((timer, (ctypes.c_long * 4)(0, 0, 0, 300_000 + 6_000 * i)))

    def forward(self, a, b):
        out = torch.matmul(a, b)
        while self.timers and signal.sigtimedwait({signal.SIGRTMIN}, 0):
            pass
        for timer, when in self.timers:
            libc.timer_settime(timer, 0, when, None)
        return out
