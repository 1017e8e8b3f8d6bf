"""Two common ways to time a program, for comparison only: what the A/A control shows beside our own.

Both take means over repeated calls on equal inputs, in processes that may run on any core. *Sequential*: the reference
is timed once for a task, each candidate later, as KernelBench does: warm-up calls, then trials. *Together*: four
workers at once, each timing the reference and then its candidate, as evaluators that run in parallel do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import torch

from longodds.evaluator.outcome import judged
from longodds.evaluator.problem import Problem
from longodds.evaluator.processes import Processes
from longodds.evaluator.ring import slots
from longodds.evaluator.room import Need
from longodds.evaluator.sides import Side

WARM_UP, TRIALS = 3, 50


@dataclass
class NaiveWays:
    """Times programs naively. timeout_s: of one answer."""

    processes: Processes
    timeout_s: float
    reference_ns: dict[str, float] = field(default_factory=dict)  # by task digest: timed once

    def speedups(self, problem: Problem, programs: Sequence[str]) -> dict[str, list[float]]:
        """{"sequential", "together"}: mean(reference) / mean(candidate) of each program. Where a GPU's memory does not
        do for all, fewer are together. Raises Judged, InfraError."""
        task, number = problem.task, self.processes.servers.unpinned()
        block, _law = problem.contents(0)  # drawn here: drawing replaces functions of PyTorch's for all threads

        def reference(stack: contextlib.ExitStack) -> Side:
            return stack.enter_context(self.processes.reference(problem, number))

        def candidate(stack: contextlib.ExitStack, program: str) -> Side:
            child = stack.enter_context(self.processes.child(problem, program, "ModelNew", number))
            stack.enter_context(judged(child))
            self.processes.ready(child)
            return Side(child, problem, trusted=False)

        if task.digest not in self.reference_ns:
            with contextlib.ExitStack() as stack:
                self.reference_ns[task.digest] = self._mean(reference(stack), block)
        sequential: list[float] = []
        for program in programs:
            with contextlib.ExitStack() as stack:
                sequential.append(self.reference_ns[task.digest] / self._mean(candidate(stack, program), block))
        together: list[float] = []
        while left := programs[len(together) :]:
            most = len(left)
            if problem.on_gpu:
                most = max(1, Need.of(problem).pairs(problem.device.room(), most))
            with contextlib.ExitStack() as stack, ThreadPoolExecutor(most) as pool:
                pairs = [(reference(stack), candidate(stack, program)) for program in left[:most]]
                together += pool.map(lambda pair: self._mean(pair[0], block) / self._mean(pair[1], block), pairs)
        return {"sequential": sequential, "together": together}

    def _mean(self, side: Side, block: torch.Tensor) -> float:
        """Mean nanoseconds of a call by the child's timer, the same contents every time."""
        size = min(TRIALS, slots(side.problem))
        for slot in range(size):
            side.write(block, slot)
        side.problem.device.settle()  # what was written is there

        def ask(count: int) -> float:
            side.child.begin(count)
            return float(side.answer(self.timeout_s).value)

        ask(min(WARM_UP, size))
        total, left = 0.0, TRIALS
        while left:
            count = min(size, left)
            total += ask(count)
            left -= count
        return max(total / TRIALS, 1.0)
