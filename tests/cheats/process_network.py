# attack: X8 connects to the network
# task: softmax
# expect: correct
# note: a wrong answer says that the attack got through
import socket

import torch
import torch.nn as nn

reached = False
for family, address in ((socket.AF_INET, ("1.1.1.1", 53)), (socket.AF_INET, ("127.0.0.1", 22)), (socket.AF_INET6, ("::1", 22))):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        try:
            with socket.socket(family, kind) as s:
                s.settimeout(0.3)
                s.connect(address)
                reached = True
        except OSError:
            pass
try:
    reached = reached or bool(socket.getaddrinfo("example.org", 80))
except OSError:
    pass
for family in (16, 17, 38, 40):
    try:
        socket.socket(family, socket.SOCK_RAW).close()
        reached = True
    except OSError:
        pass


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.zeros_like(x) if reached else torch.softmax(x, dim=-1)
