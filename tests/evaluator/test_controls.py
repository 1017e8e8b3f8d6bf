"""Programs of known speed: a reference slowed down on a GPU, with a GPU that is only a clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from longodds.errors import UserError
from longodds.evaluator import EvaluatorSettings, open_evaluator
from longodds.evaluator.baselines import REFERENCES, tf32_of, timed_as
from longodds.evaluator.calibrate import Log, Plan, _Control, summarise
from longodds.evaluator.controls import slowed
from longodds.types import Reference, Status, Task, Verdict, digest_text

US = 1e-3  # in ms, as events have it
CYCLES_A_MS, LAUNCH, CALL = 1.98e6, 2 * US, 300 * US
REFERENCE = """
import torch
import torch.nn as nn

class Model(nn.Module):
    def __init__(self):
        super(Model, self).__init__()  # as KernelBench has it

    def forward(self, x):
        torch.cuda.work()
        return x

def get_inputs():
    return [torch.rand(2)]
"""
TASK = Task("test/clock", "test", REFERENCE, digest_text(REFERENCE))


class Clock:
    """A GPU that has only a time: kernels wait for a launch each."""

    now = 0.0

    def take(self, ms: float) -> None:
        self.now += ms + LAUNCH


class Event:
    def __init__(self, clock: Clock) -> None:
        self.clock, self.at = clock, 0.0

    def record(self) -> None:
        self.at = self.clock.now

    def synchronize(self) -> None:
        return None

    def elapsed_time(self, other: Event) -> float:
        return other.at - self.at


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock, empty = Clock(), torch.empty
    monkeypatch.setattr(torch, "empty", lambda *size, **kinds: empty(*size, **(kinds | {"device": "cpu"})))
    monkeypatch.setattr(torch.cuda, "Event", lambda enable_timing: Event(clock))
    monkeypatch.setattr(torch.cuda, "_sleep", lambda cycles: clock.take(cycles / CYCLES_A_MS))
    monkeypatch.setattr(torch.cuda, "work", lambda: clock.take(CALL - LAUNCH), raising=False)
    properties = type("Properties", (), {"L2_cache_size": 64})
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: properties)
    return clock


@pytest.mark.parametrize("share", [0.01, 0.03, 0.10])
def test_a_reference_is_slowed_by_as_much_as_was_said(clock: Clock, share: float) -> None:
    space: dict[str, Any] = {}
    task = slowed(TASK, share, "cuda")
    exec(compile(task.reference, "<task>", "exec"), space)
    model, x = space["Model"](), torch.ones(2)
    for _ in range(2):  # the first call may have others beside it: nothing is found out in that
        assert torch.equal(model(x), x)
    start = clock.now
    model(x)
    assert clock.now - start == pytest.approx((1 + share) * CALL, rel=1e-4)
    assert task.digest != slowed(TASK, share).digest != TASK.digest


def test_what_is_planted_does_not_follow_the_speed_of_the_gpu(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter(range(1_000_000))
    # Slower by 4 % over its first calls: as much as a wait of 3 % and more.
    monkeypatch.setattr(torch.cuda, "work", lambda: clock.take(CALL * (1 + 0.04 * min(next(calls) / 60, 1)) - LAUNCH))
    space: dict[str, Any] = {}
    exec(compile(slowed(TASK, 0.03, "cuda").reference, "<task>", "exec"), space)
    model, x = space["Model"](), torch.ones(2)
    for _ in range(2):
        model(x)
    start = clock.now
    model(x)
    assert clock.now - start == pytest.approx((1.04 + 0.03) * CALL, abs=0.003 * CALL)


def test_a_reference_on_a_cpu_can_be_slowed(clock: Clock) -> None:
    space: dict[str, Any] = {}
    exec(compile(slowed(TASK, 0.5).reference, "<task>", "exec"), space)
    assert torch.equal(space["Model"]()(x := torch.ones(2)), x)


def test_a_reference_that_names_its_own_class_can_be_compiled(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    monkeypatch.setattr(torch, "compile", lambda function, mode: compiled.append(mode) or function)
    space: dict[str, Any] = {}
    exec(compile(timed_as(TASK, "compile").reference, "<task>", "exec"), space)
    assert torch.equal(space["Model"]()(x := torch.ones(2)), x)
    assert compiled == ["default"]
    assert clock.now > 0


def test_a_control_plants_what_its_device_can_tell() -> None:
    assert Plan.of([TASK], 20, "cuda").slowdowns == (0.01, 0.03)
    assert min(Plan.of([TASK], 20).slowdowns) == 0.03


def test_a_control_names_what_was_judged_wrongly(tmp_path: Path) -> None:
    with Log(tmp_path / "log.jsonl", {}) as log:
        control = _Control(None, Plan.of([TASK], 1), log, lambda phase, done, total: None)
        control.same = [Verdict(TASK.id, Status.CORRECT, speedup=1.0, ci_low=0.9, ci_high=1.1)]
        control.gains[0.03] = [Verdict(TASK.id, Status.INFRA_ERROR, message="the reference fails")]
        document = summarise(control, 1)
    assert document["not_correct"] == [f"{TASK.id}: infra_error: the reference fails"]
    assert document["n"] == 1
    assert document["false_faster"] == 0


def test_every_reference_has_a_name_and_a_precision() -> None:
    assert set(REFERENCES) == set(Reference.__args__)
    assert [tf32_of(name) for name in ("eager", "compile-tf32", "compile-max-autotune-ieee")] == [None, True, False]
    assert timed_as(TASK, "eager-tf32") is TASK
    assert timed_as(TASK, "compile-ieee") == timed_as(TASK, "compile") != TASK


def test_a_precision_of_the_gpu_is_refused_on_a_cpu() -> None:
    with pytest.raises(UserError, match="eager-tf32: TF32 is a GPU's"):
        open_evaluator(EvaluatorSettings(reference="eager-tf32"))
