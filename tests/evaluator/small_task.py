"""A task that is quick to prepare, right and wrong programs for it, and what /proc says of processes."""

from __future__ import annotations

import contextlib
from pathlib import Path

from longodds.types import Task, digest_text

REFERENCE = """
import torch
import torch.nn as nn

N = 64

class Model(nn.Module):
    def forward(self, x):
        return torch.softmax(x @ x.t(), dim=-1)

def get_inputs():
    return [torch.rand(N, N)]

def get_init_inputs():
    return []
"""
TASK = Task("test/small", "test", REFERENCE, digest_text(REFERENCE))
HEAD = "import torch\nimport torch.nn as nn\n"
FORWARD = HEAD + "class ModelNew(nn.Module):\n    def forward(self, x):\n"
RIGHT = FORWARD + "        return torch.softmax(x @ x.t(), dim=-1)\n"
WRONG = RIGHT.replace("dim=-1", "dim=0")
RAISES = RIGHT.replace("return torch", "raise ValueError('no')\n        return torch")
ENDLESS_NAME = "endless-program"  # of its process, once it runs
ENDLESS = RIGHT.replace(
    "return torch",
    f"import ctypes; ctypes.CDLL(None).prctl(15, b'{ENDLESS_NAME}')\n        while True: pass\n        return torch",
)
BROKEN = "def (\n"


def descendants(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                for child in map(int, (task / "children").read_text().split()):
                    found += [child, *descendants(child)]
    return found


def alive(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""
