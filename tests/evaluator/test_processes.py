"""Which reference process a program is screened against, most without starting any."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from small_task import RIGHT, TASK

from longodds.errors import InfraError
from longodds.evaluator import oracle as oracle_module
from longodds.evaluator.cores import SHARED_GPU
from longodds.evaluator.device import Device
from longodds.evaluator.oracle import Oracle
from longodds.evaluator.problem import Problem
from longodds.evaluator.processes import Processes
from longodds.evaluator.sides import Cheat, Side
from longodds.types import TIMER_LABEL


@dataclass
class Reference(Side):
    """A side without a process: what serves whom, and how often its accounting was forgotten."""

    child: Any = None
    problem: Any = None
    trusted: bool = True
    settled: int = 0

    def __post_init__(self) -> None:
        return None

    def settle(self) -> None:
        self.settled += 1


@dataclass
class Counted(Processes):
    """Processes whose references are counted instead of forked."""

    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._standing = None

    @contextlib.contextmanager
    def reference(self, problem: Problem, number: int) -> Generator[Side]:
        name = problem.task.digest
        self.log.append(f"start {name}")
        try:
            yield Reference(problem=problem)
        finally:
            self.log.append(f"end {name}")


def problem(digest: str, *, on_gpu: bool = True, state: object = None) -> Problem:
    return cast(Problem, SimpleNamespace(task=SimpleNamespace(digest=digest), state=state, on_gpu=on_gpu))


def screen(processes: Counted, task: Problem, error: Exception | None = None) -> Side:
    with processes.screening_reference(task) as side:
        if error is not None:
            raise error
        return side


def test_on_a_gpu_one_reference_serves_all_programs_of_a_task() -> None:
    processes, first = Counted(), problem("a")
    side = screen(processes, first)
    assert screen(processes, first) is side
    assert cast(Reference, side).settled == 2
    assert processes.log == ["start a"]
    assert screen(processes, problem("b")) is not side
    assert processes.log == ["start a", "end a", "start b"]
    screen(processes, problem("b", state=object()))  # the same task with other weights
    assert processes.log[2:] == ["start b", "end b", "start b"]
    processes.end_standing()
    processes.end_standing()
    assert processes.log[4:] == ["start b", "end b"]


@pytest.mark.parametrize("error", [InfraError("gone"), Cheat("its numbers are in doubt")])
def test_a_reference_in_doubt_does_not_serve_again(error: Exception) -> None:
    processes, task = Counted(), problem("a")
    with pytest.raises(type(error)):
        screen(processes, task, error)
    assert processes.log == ["start a", "end a"]
    screen(processes, task)
    assert processes.log == ["start a", "end a", "start a"]
    with pytest.raises(ValueError, match="of the program"):
        screen(processes, task, ValueError("of the program's own"))
    screen(processes, task)
    assert processes.log == ["start a", "end a", "start a"]


def test_on_a_cpu_every_program_has_a_fresh_one() -> None:
    processes, task = Counted(), problem("a", on_gpu=False)
    screen(processes, task)
    screen(processes, task)
    assert processes.log == ["start a", "end a"] * 2


# --- work that a GPU still has when it is asked again --------------------------------------------


def sides() -> tuple[Device, Side, Side]:
    device = Device()
    on_it = cast(Problem, SimpleNamespace(device=device, output_leaves=[]))
    reference, candidate = (Side(cast(Any, SimpleNamespace(asked=20)), on_it, trusted=t) for t in (True, False))
    return device, reference, candidate


def asked(side: Side, times: int, *, left: bool) -> None:
    """The side is asked so many times; whether it leaves work behind is seen before the next time."""
    for _ in range(times):
        side._note_idle(idle=not left)


def test_a_program_that_leaves_work_behind_again_and_again_is_rejected() -> None:
    _, reference, candidate = sides()
    asked(reference, 20, left=False)
    asked(candidate, 4, left=True)
    with pytest.raises(Cheat, match="kernels run on"):
        asked(candidate, 1, left=True)


def test_work_of_others_is_not_held_against_a_program() -> None:
    device, reference, candidate = sides()
    device.disturbed = lambda: True  # by processes that are being started
    asked(candidate, 20, left=True)
    assert candidate.left_working == 0
    device.disturbed = lambda: False
    asked(reference, 20, left=True)  # by somebody else's: it is there after references too
    asked(candidate, 20, left=True)


def test_what_a_program_left_is_not_taken_for_what_is_usual() -> None:
    device, reference, candidate = sides()
    device.rested = False  # its work went on when the reference was asked, and after that
    asked(reference, 20, left=True)
    assert device.neighbours.usual <= 0.05
    with pytest.raises(Cheat, match="kernels run on"):
        asked(candidate, 6, left=True)


def test_who_works_all_the_time_is_not_waited_for_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    device, looks = Device(), list[int]()
    took = [50_000]
    monkeypatch.setattr(device, "_cover_ns", lambda: looks.append(1) or took[0])

    def waits(count: int) -> list[int]:
        counts: list[int] = []
        for _ in range(count):
            looks.clear()
            assert device._quiet() == device.rested == (took[0] == 50_000)
            counts.append(len(looks))
        return counts

    assert waits(2) == [1, 1]
    took[0] = 2_000_000
    assert waits(5) == [50, 50, 50, 3, 3]
    took[0] = 50_000
    assert waits(1) == [1]
    took[0] = 2_000_000
    assert waits(1) == [50]


def busy(oracle: Oracle, monkeypatch: pytest.MonkeyPatch, every: int, *, rested: bool = True) -> None:
    """Another process has work on the GPU at one of so many looks; rested: it ends while it is waited for."""
    numbers = itertools.count(1)

    def settle() -> bool:
        found = next(numbers) % every == 0
        oracle.device.rested = rested or not found
        return not found

    monkeypatch.setattr(oracle_module, "_FREED_S", 0.1)
    monkeypatch.setattr(oracle.device, "settle", settle)


@pytest.mark.parametrize(("every", "rested"), [(1, True), (1, False), (3, True)])
def test_a_program_beside_others_work_is_judged_and_its_verdict_says_so(
    oracle: Oracle, monkeypatch: pytest.MonkeyPatch, every: int, rested: bool
) -> None:
    assert SHARED_GPU not in oracle.judge(TASK, RIGHT, timed=True).labels
    busy(oracle, monkeypatch, every, rested=rested)
    first = oracle.judge(TASK, RIGHT, timed=True)
    second = first if TIMER_LABEL not in first.labels else oracle.judge(TASK, RIGHT, timed=True)
    for verdict in (second, oracle.judge(TASK, RIGHT, timed=True)):
        assert verdict.correct, verdict.message
        assert SHARED_GPU in verdict.labels
    monkeypatch.undo()
    assert SHARED_GPU not in oracle.judge(TASK, RIGHT, timed=True).labels


def test_a_program_that_leaves_work_is_rejected_again(oracle: Oracle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that is there after its answers alone: the reference that is asked then has none."""
    monkeypatch.setattr(oracle_module, "_FREED_S", 0.1)
    monkeypatch.setattr(oracle.device, "settle", lambda: (last := oracle.device.last()) is None or last.trusted)
    for _ in range(2):
        verdict = oracle.judge(TASK, RIGHT, timed=True)
        assert TIMER_LABEL in verdict.labels
        assert SHARED_GPU not in verdict.labels


def test_a_moment_of_others_work_is_not_spoken_of(oracle: Oracle, monkeypatch: pytest.MonkeyPatch) -> None:
    busy(oracle, monkeypatch, 40)
    verdict = oracle.judge(TASK, RIGHT, timed=True)
    assert verdict.correct, verdict.message
    assert SHARED_GPU not in verdict.labels


@pytest.mark.parametrize(("low", "ended"), [(None, 1), (0.99, 1), (1.01, 0)])
def test_a_reference_beside_which_a_program_looked_faster_in_vain_is_replaced(
    oracle: Oracle, monkeypatch: pytest.MonkeyPatch, low: float | None, ended: int
) -> None:
    ends: list[bool] = []
    assert oracle.judge(TASK, RIGHT, timed=False).correct
    monkeypatch.setattr(oracle.processes, "end_standing", lambda: ends.append(True))
    monkeypatch.setattr(oracle.measuring, "screen", lambda *_: ([], True))
    monkeypatch.setattr(
        oracle.measuring, "confirm", lambda _problem, _program, blank, *_, **__: replace(blank, ci_low=low)
    )
    assert oracle.judge(TASK, RIGHT, timed=True).ci_low == low
    assert len(ends) == ended
    monkeypatch.undo()
