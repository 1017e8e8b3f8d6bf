"""What a candidate did, turned into its verdict: every way of failing has one status."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

import torch

from longodds.evaluator.checks import Wrong
from longodds.evaluator.children import Child, ChildEnded, ChildMemory, ChildTimeout, last_words
from longodds.evaluator.frames import Fault, Frame
from longodds.evaluator.sides import Cheat, Refused
from longodds.types import TIMER_LABEL, Status

_FAULTS = {
    Fault.COMPILE: Status.COMPILE_ERROR,
    Fault.RUNTIME: Status.RUNTIME_ERROR,
    Fault.WEIGHTS: Status.INCORRECT,
    Fault.STRUCTURE: Status.INCORRECT,
    Fault.MEMORY: Status.RUNTIME_ERROR,
}


class Judged(Exception):
    """A verdict reached by failing."""

    def __init__(self, status: Status, message: str, labels: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.status, self.message, self.labels = status, message, labels


@contextlib.contextmanager
def judged(child: Child) -> Generator[None]:
    """Turns what a candidate did into its verdict."""
    try:
        yield
    except Wrong as wrong:
        raise Judged(Status.INCORRECT, str(wrong)) from None
    except Cheat as cheat:
        raise Judged(Status.REJECTED, f"timer: {cheat}", (TIMER_LABEL,)) from None
    except Refused as refused:
        raise Judged(*_fault(refused.frame)) from None
    except ChildTimeout as timeout:
        raise Judged(Status.TIMEOUT, str(timeout)) from None
    except ChildMemory as memory:
        raise Judged(Status.RUNTIME_ERROR, str(memory), ("out_of_memory",)) from None
    except torch.OutOfMemoryError:
        message = "it left the evaluator no memory on the GPU"
        raise Judged(Status.RUNTIME_ERROR, message, ("out_of_memory",)) from None
    except ChildEnded as ended:
        words = last_words(child)
        raise Judged(Status.RUNTIME_ERROR, f"{ended}{': ' + words if words else ''}") from None


def _fault(frame: Frame) -> tuple[Status, str, tuple[str, ...]]:
    fault = Fault(frame.code) if frame.code in Fault._value2member_map_ else Fault.RUNTIME
    return _FAULTS[fault], frame.text, ("out_of_memory",) if fault is Fault.MEMORY else ()


def clean(text: str) -> str:
    """Hostile text on one line: control characters (terminal escapes among them) become spaces."""
    return "".join(c if c.isprintable() else " " for c in text)[:2000].strip()
