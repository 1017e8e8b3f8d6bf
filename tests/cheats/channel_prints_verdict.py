# attack: X1 prints the verdict it would like on every descriptor and exits
# task: softmax
# expect: runtime_error compile_error
import json
import os

import torch
import torch.nn as nn

text = json.dumps({"task_id": "softmax", "status": "correct", "correct": True, "speedup": 99.0, "ci_low": 98.0}) + "\n"
print(text, flush=True)
for fd in range(256):
    try:
        os.write(fd, text.encode())
    except OSError:
        pass
os._exit(0)


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1)
