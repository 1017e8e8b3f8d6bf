"""Tasks that are large for their device: which draws are kept, what fits beside what; a timer doubted at once."""

from __future__ import annotations

import weakref
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from small_task import REFERENCE, RIGHT
from small_task import TASK as OTHER

from longodds.errors import InfraError
from longodds.evaluator import EvaluatorSettings, battery, compare, laws, problem, stats, timing
from longodds.evaluator.oracle import Oracle
from longodds.evaluator.outcome import Judged
from longodds.evaluator.problem import Problem
from longodds.evaluator.room import Need
from longodds.evaluator.sides import Cheat, Spent
from longodds.evaluator.timing import Meter
from longodds.types import Task, digest_text

GIB = 1 << 30
SOFTMAX = REFERENCE.replace("x @ x.t()", "20 * x")
TASK = Task("test/large", "test", SOFTMAX, digest_text(SOFTMAX))


@pytest.fixture(scope="module")
def usual() -> Problem:
    return Problem(TASK, 1).load()


@pytest.fixture
def large(usual: Problem, monkeypatch: pytest.MonkeyPatch) -> Problem:
    monkeypatch.setattr(problem, "_DRAWS_SHARE", 0.0)
    monkeypatch.setattr(problem, "_LARGE_SHARE", 0.0)
    return Problem(TASK, 1).load()


def test_a_large_task_keeps_its_laws_and_not_its_draws(usual: Problem, large: Problem) -> None:
    assert set(large.tolerances) == set(laws.TELLING) & set(usual.tolerances) > {"base", "signs"}
    assert "yardstick:fewer-laws" in large.labels
    assert "too large" in large.dropped["ties"]
    assert usual.kept_bytes > 0 == large.kept_bytes
    for draw in (*large.draws, *large.decoys):
        same = next(d for d in (*usual.draws, *usual.decoys) if (d.law, d.seed) == (draw.law, draw.seed))
        assert torch.equal(draw.inputs, same.inputs)
        assert all(torch.equal(a, b) for a, b in zip(draw.expected, same.expected, strict=True))
        assert large.kept_bytes == draw.nbytes > 0
        draw.forget()
    assert large.kept_bytes == 0


def test_what_a_large_task_has_room_for_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problem, "_DRAWS_SHARE", 0.0)
    some = Problem(TASK, 1).load()
    assert [draw.kept for draw in some.draws] == [True] * len(some.draws)
    assert [draw.kept for draw in some.decoys] == [False] * len(some.decoys)
    assert len(some.draws) == len(some.tolerances)


def test_what_only_rare_inputs_tell_is_told_of_a_large_task(large: Problem) -> None:
    found: set[str] = set()
    for draw in large.draws:
        x = large.input_leaves[0].view(draw.inputs)
        naive = torch.exp(x * 20) / torch.exp(x * 20).sum(-1, keepdim=True)  # no maximum is taken off
        if compare.check([naive], draw.expected, large.tolerances[draw.law], large.names):
            found.add(draw.law)
    assert found == {"heavy"}
    assert battery.passing(large, 1.0) == ""


def test_a_task_that_is_forgotten_gives_its_memory_back(oracle: Oracle, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = weakref.ref(oracle.problem(TASK).draws[0].expected[0])
    oracle.problem(OTHER)
    assert gone() is not None  # it may be asked about again
    monkeypatch.setattr("longodds.evaluator.oracle.too_much_kept", lambda device: True)
    oracle.problem(TASK)
    oracle.problem(OTHER)
    assert gone() is None


def test_a_task_that_finds_no_memory_finds_it_where_others_had_it(
    oracle: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    oracle.problem(TASK)
    load = Problem.load

    def full(this: Problem) -> Problem:
        if oracle.problems:
            raise torch.OutOfMemoryError("no memory")
        return load(this)

    monkeypatch.setattr(Problem, "load", full)
    assert list(oracle.problem(OTHER).tolerances)
    assert list(oracle.problems) == [OTHER.digest]


def test_fewer_process_pairs_are_taken_where_memory_holds_no_more() -> None:
    need = Need(each=10 * GIB, comparing=20 * GIB)
    assert [need.pairs(room * GIB, 4) for room in (100, 99, 60, 59, 20, 19)] == [4, 2, 2, 1, 1, 0]
    leaf = SimpleNamespace(nbytes=6 * GIB)
    device = SimpleNamespace(total_bytes=140 * GIB)
    task = cast(Problem, SimpleNamespace(input_bytes=6 * GIB, output_leaves=[leaf], on_gpu=True, device=device))
    assert Need.of(task) == Need(13 * GIB, 36 * GIB)
    assert Need.of(task, seen=20 * GIB).each == 20 * GIB


def test_a_program_is_blamed_for_the_memory_that_it_took_alone(oracle: Oracle, monkeypatch: pytest.MonkeyPatch) -> None:
    leaf = SimpleNamespace(nbytes=6 * GIB)
    device = SimpleNamespace(total_bytes=140 * GIB)
    task = SimpleNamespace(id="test/large")
    large = cast(
        Problem,
        SimpleNamespace(task=task, input_bytes=6 * GIB, output_leaves=[leaf], on_gpu=True, device=device),
    )
    left = {"room": 13 * GIB}  # what being timed takes
    monkeypatch.setattr(oracle.device, "room", lambda: left["room"])
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    oracle._leaves_room(large, 120 * GIB)
    left["room"] -= 1
    with pytest.raises(Judged, match="it leaves 13311 MiB"):
        oracle._leaves_room(large, 14 * GIB)
    with pytest.raises(InfraError, match="others use it"):
        oracle._leaves_room(large, 13 * GIB)


def test_where_memory_holds_no_fresh_process_pair_nothing_is_called_faster(
    oracle: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict = oracle.judge(OTHER, RIGHT, timed=True, slowed_by=1.0)
    assert (verdict.ci_low or 0) > 1
    monkeypatch.setattr(oracle, "_fresh", lambda need: 0)
    verdict = oracle.judge(OTHER, RIGHT, timed=True, slowed_by=1.0)
    assert verdict.correct
    assert verdict.speedup == pytest.approx(2.0, abs=0.3)
    assert verdict.ci_low is not None
    assert verdict.ci_low <= 1
    assert {"no_room", "unconfirmed"} <= set(verdict.labels)
    with pytest.raises(InfraError, match="too little memory"):
        oracle.remeasure(OTHER, RIGHT, among=2)


def test_a_gain_too_small_to_confirm_is_dropped_at_once_on_a_gpu() -> None:
    rng = np.random.default_rng(0)
    gpu = stats.RESOLUTION["cuda"]

    def screened(gain: float, noise: float) -> list[bool | None]:
        studies = rng.normal(gain, noise, (200, 8))
        return [stats.screened(d.tolist(), 64, 0.003, gpu, 1) for d in studies]

    assert screened(0.001, 0.0005).count(False) == 200  # though all eight pairs lean the same way
    assert screened(0.03, 0.002).count(True) == 200
    assert screened(0.01, 0.002).count(False) <= 2
    assert False not in screened(0.001, 0.02)


SHOWN = [torch.empty(0)] * timing._SHOWN


class Answering:
    """A side on a GPU: each answer takes 2 ms and 0.3 ms for asking, and its timer says `told` of the 2 ms."""

    def __init__(self, told: float, *, trusted: bool) -> None:
        self.told, self.trusted = told, trusted

    def write(self, block: torch.Tensor, slot: int = 0) -> None:
        return None

    def call(self, timeout_s: float, count: int = 1, wait_ns: int = 0) -> tuple[Any, Spent]:
        took = 0.3e6 + (2e6 if count else 0.0)
        return SimpleNamespace(code=120_000), Spent(self.told * 2e6 if count else 0.0, took, took)


def meter(told: float) -> Meter:
    device = SimpleNamespace(kind="cuda")
    task = SimpleNamespace(device=device, demands=None, contents=lambda number: (torch.empty(0), "base"))
    rng = SimpleNamespace(getrandbits=lambda bits: 1)
    reference: Any = Answering(1.0, trusted=True)
    candidate: Any = Answering(told, trusted=False)
    made = Meter(cast(Problem, task), reference, candidate, cast(Any, rng), EvaluatorSettings().run_timeout_s)
    made.pairs.calls = 5
    return made


def test_a_gpu_waits_for_what_queueing_takes_and_no_longer() -> None:
    honest = meter(1.0)
    honest.unqueued(SHOWN)
    assert honest.wait_ns == int(1.5 * 120_000 + timing._MORE_QUEUED_NS)
    assert honest.pairs.whole_us == pytest.approx((400.0, 400.0))


def test_a_timer_that_leaves_out_most_of_an_answer_is_doubted_at_once() -> None:
    meter(0.9).unqueued(SHOWN)
    with pytest.raises(Cheat, match=r"the program's timer says 0\.02 ms for 5 calls"):
        meter(0.01).unqueued(SHOWN)


def test_a_program_that_waits_for_the_gpu_lengthens_the_wait_only_so_often() -> None:
    made = meter(1.0)
    made.wait_ns, seen = 1_000_000, []
    for _ in range(10):
        made.waited(made.wait_ns, short=True)
        seen.append(made.wait_ns)
    assert seen[:3] == [1_500_000, 2_250_000, 3_375_000]
    assert set(seen[3:]) == {3_375_000}
    made.wait_ns = 0
    made.waited(0, short=True)  # of answers that were not to be queued nothing is learned
    assert made.wait_ns == 0


def test_a_task_that_fills_the_same_memory_again_has_its_draws_all_the_same() -> None:
    source = OTHER.reference.replace("return [torch.rand(N, N)]", "return [PLACE.uniform_()]")
    source = source.replace("N = 64", "N = 64\nPLACE = torch.empty(N, N)")
    filled = Problem(Task("test/filled", "test", source, digest_text(source)), 1).load()
    for draw in filled.draws:
        x = filled.input_leaves[0].view(draw.inputs).double()
        assert torch.allclose(torch.softmax(x @ x.t(), dim=-1), draw.expected[0].double(), equal_nan=True), draw.law
