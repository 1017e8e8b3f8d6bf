"""How much faster a module could get at most, from the time that moving its bytes alone takes. Advice, no limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from longodds.errors import LongoddsError, UserError
from longodds.evaluator import unchanged
from longodds.types import Task, digest_text

if TYPE_CHECKING:
    from longodds.evaluator import LocalEvaluator

LITTLE = 1.5  # below it a faster program has to save most of what is not moving bytes

_COPY = """import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, x):
        return x.clone()


def get_inputs():
    return [torch.randn({numbers})]


def get_init_inputs():
    return []
"""
_OVERHEAD_BYTES = 1 << 16
_PAIRS = 8  # of a process pair: medians of so many answers, and advice need not be exact


@dataclass(frozen=True, slots=True)
class Headroom:
    """reference_us: what a call of the module takes (None: too slow to time); floor_us: what a call takes here that
    only copies as many bytes as the module has in inputs and outputs (`moved_bytes`). In microseconds, on one clock.

    A program that need not read all of its inputs can be faster than the floor; one with weights has more to move.
    """

    reference_us: float | None
    floor_us: float | None
    moved_bytes: int

    @property
    def at_most(self) -> float | None:
        """The speedup of a program that would only copy."""
        return None if not self.reference_us or not self.floor_us else self.reference_us / self.floor_us

    @property
    def little(self) -> bool:
        return self.at_most is not None and self.at_most < LITTLE

    def sentence(self) -> str:
        """What a person should know before anything is sampled."""
        if self.at_most is None:
            return "the module could not be timed against a copy of its inputs and outputs"
        what = (
            "the overhead of a call"
            if self.moved_bytes < _OVERHEAD_BYTES
            else f"copying its {self.moved_bytes / 1e6:.3g} MB of inputs and outputs"
        )
        line = f"the module takes {self.reference_us:.4g} us a call; {what} alone takes {self.floor_us:.4g} us"
        if self.little:
            return f"{line}: there is little to gain, hardly more than {max(self.at_most, 1.0):.2f}x"
        return f"{line}: up to about {self.at_most:.3g}x is not excluded"


def measure_headroom(evaluator: LocalEvaluator, task: Task) -> Headroom:
    """Times the unchanged module and a plain copy. Raises UserError for a module that programs cannot be judged by, and
    InfraError where it could not be timed in either of two process pairs."""
    about = evaluator.describe(task)
    own = evaluator.evaluate(task, unchanged(task), timed=False)
    if not own.correct:
        raise UserError(f"{task.id}: cannot be judged by, even unchanged it is {own.status}: {own.message}")
    moved = int(about["input_bytes"]) + int(about["output_bytes"])
    source = _COPY.format(numbers=max(1, moved // 8))  # a copy reads each byte and writes each byte
    copy = Task(f"copy of {moved} bytes", "floor", source, digest_text(source))
    taken: dict[str, list[float]] = {task.id: [], copy.id: []}
    failures: list[LongoddsError] = []
    # In turn, and again: a core that was slow for a while would show one of them in a false light.
    for process in (1, 2):
        for timed in (task, copy):
            try:
                found = evaluator.process_pair(timed, unchanged(timed), process=process, count=_PAIRS)
            except LongoddsError as error:  # a busy machine may be at fault
                failures += [error] if timed is task else []
                continue
            # Both sides ran the same code; what disturbed one of them made it slower, never faster.
            taken[timed.id] += [found[side] for side in ("reference_us", "runtime_us") if side in found]
    if len(failures) == 2:
        raise failures[-1]
    return Headroom(min(taken[task.id], default=None), min(taken[copy.id], default=None), moved)
