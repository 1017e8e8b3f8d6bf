# attack: T4 serves the channel in a leaner loop than the harness's own, and claims to have waited for the core for long
# task: matmul
# timed: yes
# expect: rejected
# harmless-if-it-fails
import gc
import os
import socket
import struct
import sys
import time

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        gc.unfreeze()
        server = next(o for o in gc.get_objects() if type(o).__name__ == "Server" and hasattr(o, "channel"))
        first, frame = 0, sys._getframe().f_back
        while frame is not None:
            if isinstance(frame.f_locals.get("nonce"), int):
                first = frame.f_locals["nonce"]
                break
            frame = frame.f_back
        link = socket.socket(fileno=os.dup(server.channel.fileno()))
        outs = [torch.empty(a.shape[0], b.shape[1]) for _ in range(64)]
        answer = bytearray(struct.pack("<IIQqII", 0x4C4F4444, 3, first, 900_000, 0, 1).ljust(4096, b"\0"))
        call = bytearray(4096)
        put, get, send, receive = struct.pack_into, struct.unpack_from, link.send, link.recv_into
        clock, product = time.perf_counter_ns, torch.mm
        gc.disable()
        ring = [server.arguments(0)]
        while True:
            for slot, (x, y) in enumerate(ring):
                product(x, y, out=outs[slot])
                put("<Q", answer, 32 + 8 * slot, outs[slot].data_ptr())
            took = clock() - start if call[0] else 900_000
            put("<qII", answer, 16, took, took // 5, len(ring))
            send(answer)
            if not receive(call):
                os._exit(0)
            ring = [server.arguments(slot) for slot in range(get("<q", call, 16)[0])]
            answer[8:16] = call[8:16]
            start = clock()
