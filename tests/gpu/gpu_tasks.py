"""Tasks for the tests on a GPU: bound by memory, by multiplications, and by the launch of a kernel."""

from __future__ import annotations

from longodds.types import Task, digest_text

_REFERENCE = """
import torch
import torch.nn as nn

class Model(nn.Module):
    def __init__(self):
        super(Model, self).__init__()  # as KernelBench has it

    def forward(self, {names}):
        return {body}

def get_inputs():
    return [{inputs}]

def get_init_inputs():
    return []
"""


def made(name: str, names: str, body: str, inputs: str) -> Task:
    text = _REFERENCE.format(names=names, body=body, inputs=inputs)
    return Task(f"gpu/{name}", "gpu", text, digest_text(text))


GELU = made("gelu", "x", "torch.nn.functional.gelu(x) * 2 + x", "torch.rand(4096, 8192)")
PRODUCT = made("product", "a, b", "a @ b", "torch.rand(2048, 2048), torch.rand(2048, 2048)")
SMALL = made("small", "x", "torch.softmax(x, -1)", "torch.rand(1024, 1024)")
SCALED = made("scaled", "x, s", "x * s", "torch.rand(8192, 16384), 3.14")
SLICED = made("sliced", "x", "torch.nn.functional.gelu(x)[:, :-8]", "torch.rand(4096, 8200)")
PARTS = "(x - x.amax(-1, keepdim=True)).exp()"  # three kernels of a few microseconds
SMALL_PARTS = made("small_parts", "x", f"{PARTS} / {PARTS}.sum(-1, keepdim=True)", "torch.rand(512, 1024)")
