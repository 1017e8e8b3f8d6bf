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

from longodds.evaluator.outcome import judged
from longodds.evaluator.problem import Problem
from longodds.evaluator.processes import Processes
from longodds.evaluator.ring import slots
from longodds.evaluator.sides import Side

WARM_UP, TRIALS = 3, 50


@dataclass
class NaiveWays:
    """Times programs naively. timeout_s: of one answer."""

    processes: Processes
    timeout_s: float
    reference_ns: dict[str, float] = field(default_factory=dict)  # by task digest: timed once

    def speedups(self, problem: Problem, programs: Sequence[str]) -> dict[str, list[float]]:
        """{"sequential", "together"}: mean(reference) / mean(candidate) of each program. Raises Judged, InfraError."""
        task, number = problem.task, self.processes.servers.unpinned()
        with contextlib.ExitStack() as stack:

            def reference() -> Side:
                return stack.enter_context(self.processes.reference(problem, number))

            def candidate(program: str) -> Side:
                child = stack.enter_context(self.processes.child(problem, program, "ModelNew", number))
                stack.enter_context(judged(child))
                self.processes.ready(child)
                return Side(child, problem, trusted=False)

            if task.digest not in self.reference_ns:
                self.reference_ns[task.digest] = self._mean(reference())
            sequential = [self.reference_ns[task.digest] / self._mean(candidate(program)) for program in programs]
            workers = [(reference(), candidate(program)) for program in programs]
            with ThreadPoolExecutor(len(workers)) as pool:
                together = list(pool.map(lambda pair: self._mean(pair[0]) / self._mean(pair[1]), workers))
        return {"sequential": sequential, "together": together}

    def _mean(self, side: Side) -> float:
        """Mean nanoseconds of a call by the child's timer, the same contents every time."""
        block, _law = side.problem.contents(0)
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
