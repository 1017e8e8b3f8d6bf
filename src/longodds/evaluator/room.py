"""What fits on a GPU beside what is there: how many process pairs at once, how many tasks kept."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from longodds.evaluator.device import Device
from longodds.evaluator.problem import Problem
from longodds.evaluator.ring import slots, stride

_CONTEXT_BYTES = 1 << 30  # of a process on a GPU, and what its libraries want
_KEPT_SHARE = 1 / 16  # of the GPU's memory, for tasks that are not at work
_COMPARING = 3  # times a call's inputs and outputs, which comparing them takes


def memory_to_time(problem: Problem) -> int:
    """Bytes that a process takes in which a program is timed, and its ring of inputs."""
    return slots(problem) * (stride(problem) + _outputs(problem)) + _CONTEXT_BYTES


def _outputs(problem: Problem) -> int:
    return sum(leaf.nbytes for leaf in problem.output_leaves)


def others_bytes() -> int:
    """Bytes of the current GPU that are in use, but for this process's tensors."""
    free, total = torch.cuda.mem_get_info()
    return total - free - torch.cuda.memory_reserved()


@dataclass(frozen=True, slots=True)
class Need:
    """each: bytes that a process of the program, or of the reference, takes while it is timed. comparing: what the
    oracle needs beside them."""

    each: int
    comparing: int

    @staticmethod
    def of(problem: Problem, seen: int = 0) -> Need:
        """seen: bytes that one process of the program was seen to take, with an answer of a single call."""
        outputs = _outputs(problem)
        each = max(seen, _CONTEXT_BYTES + 2 * outputs) + (slots(problem) - 1) * outputs
        return Need(each, _COMPARING * (problem.input_bytes + outputs))

    def pairs(self, room: int, most: int) -> int:
        """How many process pairs fit at once: `most`, or so many times less by halves, one as long as its two processes
        fit; else 0."""
        while most > 1 and 2 * most * self.each + self.comparing > room:
            most //= 2
        return most if most > 1 or 2 * self.each <= room else 0


def too_much_kept(device: Device) -> bool:
    """Whether what the oracle has on a GPU, of tasks that are not at work, is more than they are worth."""
    return device.on_gpu and torch.cuda.memory_allocated() > _KEPT_SHARE * device.total_bytes
