"""What a program is timed against: the reference as it is, or as PyTorch's compiler makes it.

What is correct is decided by the reference as it is, whatever is timed.
"""

from __future__ import annotations

from dataclasses import replace

from longodds.types import Task, digest_text

EAGER = "eager"
# Without CUDA graphs: those give the same memory at every call, and outputs of several calls are looked at.
_MODES = {"compile": "default", "compile-max-autotune": "max-autotune-no-cudagraphs"}
REFERENCES = (EAGER, *_MODES)
_COMPILED = """

import torch as _torch

_Eager = Model


class Model(_Eager):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._compiled = _torch.compile(super().forward, mode={mode!r})

    def forward(self, *inputs):
        return self._compiled(*inputs)
"""


def timed_as(task: Task, reference: str) -> Task:
    """The task with the reference that is timed. Raises KeyError for another name than those of REFERENCES."""
    if reference == EAGER:
        return task
    source = task.reference + _COMPILED.format(mode=_MODES[reference])
    return replace(task, reference=source, digest=digest_text(source))
