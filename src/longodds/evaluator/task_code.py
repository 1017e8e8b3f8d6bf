"""A task's own code in the oracle: loaded as a module, its failures said in the caller's terms."""

from __future__ import annotations

import sys
import types

import torch

from longodds.errors import UserError
from longodds.types import Task


def load_module(task: Task) -> types.ModuleType:
    """The problem file as a module. Raises UserError if it raises or lacks what it must define."""
    module = types.ModuleType("task")
    module.__file__ = f"<{task.id}>"
    sys.modules["task"] = module  # where dataclasses look up what their annotations name
    try:
        # Not with this file's future imports: its annotations are the caller's.
        exec(compile(task.reference, f"<{task.id}>", "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:  # boundary: the task's own code may raise anything
        lacks = isinstance(error, ImportError) and "; what it needs of your other files must be copied into it"
        raise UserError(f"{task.id}: the problem file raises {type(error).__name__}: {error}{lacks or ''}") from None
    for name in ("Model", "get_inputs"):
        if not hasattr(module, name):
            raise UserError(f"{task.id}: the problem file defines no {name}")
    return module


class named:
    """Names the task and the part that failed: the caller's file, so a UserError. Not so a GPU that is full."""

    def __init__(self, task: Task, part: str, kinds: type[Exception] | None = None) -> None:
        self.task, self.part, self.kinds = task, part, kinds or (Exception, SystemExit)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, self.kinds) and not isinstance(error, (UserError, torch.OutOfMemoryError)):
            raise UserError(f"{self.task.id}: {self.part}: {type(error).__name__}: {error}") from None
