"""What a program is timed against: the reference as it is, or as PyTorch's compiler makes it, in a precision.

What is correct is decided by the reference as it is, uncompiled. A precision is no part of what is timed only: it holds
for the task as a whole, its tolerances and the programs included, as both are allowed the same.
"""

from __future__ import annotations

from dataclasses import replace

from longodds.types import Task, digest_text

EAGER = "eager"
# Without CUDA graphs: those give the same memory at every call, and outputs of several calls are looked at.
_MODES = {"compile": "default", "compile-max-autotune": "max-autotune-no-cudagraphs"}
# Of products and convolutions in float32 on a GPU: as PyTorch has it (products in full, convolutions in TF32), or both
# so.
PRECISIONS = {"": None, "-tf32": True, "-ieee": False}
REFERENCES = tuple(mode + precision for precision in PRECISIONS for mode in (EAGER, *_MODES))
# The class stays the reference's own: its constructor may say `super(Model, self)`.
_COMPILED = """

import torch as _torch

_make, _eager = Model.__init__, Model.forward


def _made(self, *args, **kwargs):
    _make(self, *args, **kwargs)
    self._compiled = _torch.compile(_eager.__get__(self), mode={mode!r})


def _called(self, *inputs):
    return self._compiled(*inputs)


Model.__init__, Model.forward = _made, _called
"""


def _suffix(reference: str) -> str:
    return next((suffix for suffix in PRECISIONS if suffix and reference.endswith(suffix)), "")


def tf32_of(reference: str) -> bool | None:
    """Whether this one of REFERENCES allows TF32; None leaves it to PyTorch."""
    return PRECISIONS[_suffix(reference)]


def timed_as(task: Task, reference: str) -> Task:
    """The task with the reference that is timed. Raises KeyError for another name than those of REFERENCES."""
    mode = reference.removesuffix(_suffix(reference))
    if mode == EAGER:
        return task
    source = task.reference + _COMPILED.format(mode=_MODES[mode])
    return replace(task, reference=source, digest=digest_text(source))
