# attack: X4 leaves a listening abstract socket with the answers behind
# task: softmax
# expect: correct
# twice: yes
# note: run twice: a wrong answer says that something was left for the second run
import os
import socket

import torch
import torch.nn as nn

reached = False
try:
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.connect("\0cheat-left")
        reached = True
    except OSError:
        pass
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            server.bind("\0cheat-left")
            server.listen()
            server.settimeout(20)
            server.accept()
        os._exit(0)
except OSError:
    pass


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.zeros_like(x) if reached else torch.softmax(x, dim=-1)
