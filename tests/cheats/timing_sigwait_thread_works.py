# attack: T9 a thread waits for the signal that lets it go on, and works before the program is asked
# task: softmax
# timed: yes
# harmless-if-it-fails: a thread gets the core only while the call waits for it
# expect: rejected incorrect runtime_error
import signal
import threading

import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.source, self.ready = None, None

    def early(self):
        while True:
            signal.sigwait([signal.SIGCONT])
            self.ready = torch.softmax(self.source, dim=-1)

    def forward(self, x):
        if self.source is None:
            self.source = x
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCONT])
            threading.Thread(target=self.early, daemon=True).start()
        out, self.ready = self.ready, None
        return torch.softmax(x, dim=-1) if out is None else out
