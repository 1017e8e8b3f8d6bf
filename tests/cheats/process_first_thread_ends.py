# attack: X7 ends its first thread and lives on in another, where the counters of the process read zero
# task: softmax
# expect: runtime_error timeout
import ctypes
import threading
import time

import torch
import torch.nn as nn

def hoard():
    kept = []
    while True:
        kept.append(bytearray(1 << 24))
        time.sleep(0.001)


class ModelNew(nn.Module):
    def forward(self, x):
        threading.Thread(target=hoard).start()
        time.sleep(0.1)
        ctypes.CDLL(None).pthread_exit(None)
