"""What the control on a GPU rests on, and what programs are held against there."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Generator

import pytest
import torch
from gpu_tasks import GELU, PARTS, PRODUCT, SMALL, SMALL_PARTS
from scripts import launch_gaps

from longodds.evaluator import EvaluatorSettings, LocalEvaluator, open_evaluator, unchanged
from longodds.evaluator.calibrate import calibrate
from longodds.strategies.certify import certify_evaluator
from longodds.types import Status

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that PyTorch can use"),
]
IN_TF32 = """
import torch
import torch.nn as nn

torch.backends.cuda.matmul.allow_tf32 = True

class ModelNew(nn.Module):
    def forward(self, a, b):
        return a @ b
"""


@pytest.fixture(scope="module")
def evaluator() -> Generator[LocalEvaluator]:
    with open_evaluator(EvaluatorSettings(device="cuda")) as opened:
        yield opened


def test_programs_of_known_verdict_get_it() -> None:
    assert [c for c in certify_evaluator("cuda") if not c.as_expected] == []


@pytest.mark.parametrize("share", [0.01, 0.03, 0.10])
def test_a_planted_gain_is_as_large_as_was_said(evaluator: LocalEvaluator, share: float) -> None:
    verdict = evaluator.evaluate_slowed(GELU, unchanged(GELU), share)
    print(share, verdict.status, verdict.speedup, verdict.ci_low, verdict.seconds, verdict.message)
    assert verdict.correct
    assert verdict.speedup == pytest.approx(1 + share, abs=0.005)
    assert verdict.ci_low is not None
    assert verdict.ci_low > 1 or share < 0.03


def test_a_small_control_runs(tmp_path) -> None:
    document = calibrate([GELU, PRODUCT], EvaluatorSettings(device="cuda"), n=8, path=tmp_path / "control.json")
    assert document["not_correct"] == []
    assert document["false_faster"] == 0
    assert document["between_process_sd"] < 0.01
    assert document["naive"]["sequential"]["n"] > 0


@pytest.mark.parametrize(
    ("reference", "status"),
    [("eager", Status.INCORRECT), ("eager-ieee", Status.INCORRECT), ("eager-tf32", Status.CORRECT)],
)
def test_tf32_is_correct_where_it_is_allowed(reference: str, status: Status) -> None:
    with open_evaluator(EvaluatorSettings(device="cuda", reference=reference)) as opened:
        verdict = opened.evaluate(PRODUCT, IN_TF32)
    assert verdict.status is status
    if status is Status.CORRECT:
        assert "tf32:matmul=on,cudnn=on" in verdict.labels
        assert verdict.speedup == pytest.approx(1.0, abs=0.02)


def test_the_reference_as_it_is_is_slower_than_compiled() -> None:
    with open_evaluator(EvaluatorSettings(device="cuda", reference="compile")) as opened:
        verdict = opened.evaluate(GELU, unchanged(GELU))
    assert verdict.correct
    assert verdict.speedup is not None
    assert verdict.speedup < 0.6
    assert (verdict.ci_high or verdict.speedup) < 0.6  # so slow that three pairs may be all
    assert "reference:compile" in verdict.labels


def test_a_call_of_a_few_microseconds_is_its_own_equal(evaluator: LocalEvaluator) -> None:
    found = [evaluator.evaluate(SMALL, unchanged(SMALL)) for _ in range(5)]
    print([(v.speedup, v.ci_low, v.ci_high, v.runtime_us) for v in found])
    assert all(
        v.correct and v.speedup is not None and abs(v.speedup - 1) < 0.05 for v in found
    )  # four times the spread
    assert all((v.ci_low or 2) <= 1 <= (v.ci_high or 0) for v in found)


def test_processes_that_launch_quicker_than_others_make_no_program_faster(evaluator: LocalEvaluator) -> None:
    task = next(task for task in launch_gaps.tasks() if task.id.startswith("sum of 13"))
    found = [evaluator.evaluate(task, unchanged(task)) for _ in range(8)]
    print([(v.speedup, v.ci_low, v.ci_high, v.runtime_us) for v in found])
    assert evaluator.describe(task)["demands"]["launches"] == 38  # its 37 operations, and the call
    assert all(v.correct and (v.ci_low or 2) <= 1 <= (v.ci_high or 0) for v in found)
    assert max((v.ci_high or 0) - (v.ci_low or 0) for v in found) > 0.05  # by 3 % they differ from process to process


def test_small_kernels_are_rated_as_cuda_graphs_rate_them(evaluator: LocalEvaluator) -> None:
    program = """
import torch
import torch.nn as nn

class ModelNew(nn.Module):
    def forward(self, x):
        e = PARTS
        return e / e.sum(-1, keepdim=True)
""".replace("PARTS", PARTS)
    verdict = evaluator.evaluate(SMALL_PARTS, program)

    def once(x: torch.Tensor) -> torch.Tensor:
        e = (x - x.amax(-1, keepdim=True)).exp()
        return e / e.sum(-1, keepdim=True)

    def twice(x: torch.Tensor) -> torch.Tensor:
        sums = (x - x.amax(-1, keepdim=True)).exp().sum(-1, keepdim=True)
        return (x - x.amax(-1, keepdim=True)).exp() / sums

    truth = _graphed_us(twice) / _graphed_us(once)
    print(truth, verdict.speedup, verdict.ci_low, verdict.reference_us, verdict.runtime_us, verdict.labels)
    assert verdict.correct
    # Kernels that were queued one by one have gaps between them that a graph has less of: both sides, not quite alike.
    assert verdict.speedup == pytest.approx(truth, rel=0.08)
    assert verdict.ci_low is not None
    assert verdict.ci_low > 1


def _graphed_us(call: Callable[[torch.Tensor], torch.Tensor]) -> float:
    """Microseconds of a call on inputs that are in no cache, replayed from a CUDA graph: launching costs least."""
    calls = 128
    ring = torch.rand(calls, 512, 1024, device="cuda")  # 256 MiB, four times the last cache
    for x in ring[:3]:
        call(x)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = [call(x) for x in ring]
    times = list[float]()
    for _ in range(21):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) * 1e3 / calls)
    assert len(kept) == calls
    return statistics.median(times)
