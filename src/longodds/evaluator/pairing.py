"""Process pairs: a reference and a candidate, both new, ready to be timed against each other.

On a CPU all processes share a core, so they start one after the other. On a GPU each spends its start on a core of its
own, making its context and loading kernels, so they start together.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from longodds.evaluator.outcome import judged
from longodds.evaluator.problem import Problem
from longodds.evaluator.processes import Processes
from longodds.evaluator.sides import Side


class ProcessPair:
    """Two forks of fork server `number`, started; `wait` before they are used. stack: ends them."""

    def __init__(
        self, processes: Processes, problem: Problem, program: str, number: int, stack: contextlib.ExitStack
    ) -> None:
        self._processes = processes
        started = stack.enter_context(processes.child(problem, problem.task.reference, "Model", number))
        self.reference = Side(started, problem, trusted=True)
        if not problem.on_gpu:
            processes.reference_ready(self.reference)
        self._child = stack.enter_context(processes.child(problem, program, "ModelNew", number))
        stack.enter_context(judged(self._child))
        self.candidate = Side(self._child, problem, trusted=False)

    def wait(self) -> None:
        """Until both are loaded. Raises Judged in the end of the stack, InfraError."""
        if self.candidate.problem.on_gpu:
            self._processes.reference_ready(self.reference)
        self._processes.ready(self._child)


def open_pairs(
    processes: Processes, problem: Problem, program: str, numbers: Sequence[int], stack: contextlib.ExitStack
) -> list[ProcessPair]:
    """A loaded process pair on each of these fork servers; `stack` ends them. Raises what `wait` raises."""
    if not problem.on_gpu:
        pairs: list[ProcessPair] = []
        for number in numbers:
            pairs.append(ProcessPair(processes, problem, program, number, stack))
            pairs[-1].wait()
        return pairs
    pairs = [ProcessPair(processes, problem, program, number, stack) for number in numbers]
    sides = [side for pair in pairs for side in (pair.reference, pair.candidate)]
    # Before they are closed one by one: a GPU takes its time to free what a process had.
    stack.callback(lambda: [side.child.kill() for side in sides])
    for pair in pairs:
        pair.wait()
    _first_calls(problem, sides, processes.settings.run_timeout_s)
    return pairs


def _first_calls(problem: Problem, sides: Sequence[Side], timeout_s: float) -> None:
    """A call of each side, all at once: the first loads kernels, for longer than many others take. It does not count,
    and nothing that is timed is asked for."""
    draw = problem.draws[0]
    for side in sides:
        side.write(draw.inputs)
    draw.forget()
    problem.device.settle()
    for side in sides:
        side.child.begin(1)
    for side in sides:
        side.answer(timeout_s)
