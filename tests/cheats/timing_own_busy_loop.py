# attack: T4 takes the channel over, polls it without sleeping and shaves four per cent off its times
# task: matmul
# timed: yes
# expect: rejected
# harmless-if-it-fails
import gc
import os
import socket
import struct
import time

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        gc.unfreeze()
        server = next(o for o in gc.get_objects() if type(o).__name__ == "Server" and hasattr(o, "channel"))
        fd = server.channel.fileno()
        nonce = self.nonce()
        outs = [torch.matmul(a, b)]
        value = 1_000_000
        head = struct.Struct("<IIQqII")
        link = socket.socket(fileno=os.dup(fd))
        while True:
            body = head.pack(0x4C4F4444, 3, nonce, value, 0, len(outs))
            body += struct.pack(f"<{len(outs)}Q", *[out.data_ptr() for out in outs])
            link.send(body.ljust(4096, b"\0"))
            until = time.perf_counter_ns() + 300_000
            while True:
                try:
                    data = link.recv(4096, socket.MSG_DONTWAIT if time.perf_counter_ns() < until else 0)
                    break
                except BlockingIOError:
                    pass
            if not data:
                os._exit(0)
            nonce, count = head.unpack_from(data)[2:4]
            ring = [server.arguments(slot) for slot in range(count)]
            start = time.perf_counter_ns()
            outs = [torch.matmul(x, y) for x, y in ring]
            value = (time.perf_counter_ns() - start) * 96 // 100

    def nonce(self):
        import sys

        frame = sys._getframe()
        while frame is not None:
            if "nonce" in frame.f_locals and isinstance(frame.f_locals["nonce"], int):
                return frame.f_locals["nonce"]
            frame = frame.f_back
        return 0
