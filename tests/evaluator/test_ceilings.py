"""What a verdict is held against on a GPU: rates, shares of the ceiling, and what no program can do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch

from longodds.evaluator import ceilings
from longodds.evaluator.ceilings import Ceilings, Demands, demands, rated, shown_share
from longodds.evaluator.device import Device
from longodds.evaluator.tree import describe
from longodds.types import Status, Verdict

MOST = Ceilings(
    memory_gbps=4000.0, cached_gbps=8000.0, tflops={"fp32": 50.0, "tf32": 400.0, "bf16": 800.0}, cache_bytes=50 << 20
)
NEEDED = Demands(bytes=(50 << 20) + 400_000_000, flops=0)  # at least 100 us


def timed(runtime_us: float | None, status: Status = Status.CORRECT) -> Verdict:
    return Verdict(
        "t", status, speedup=2.0, ci_low=1.9, ci_high=2.1, runtime_us=runtime_us, isolation={"session": "on"}
    )


def test_the_least_time_leaves_out_what_the_last_cache_may_hold() -> None:
    assert MOST.least_us(NEEDED.bytes) == pytest.approx(100.0)
    assert MOST.least_us(MOST.cache_bytes) == 0.0


def test_a_verdict_gets_its_rates_and_its_share() -> None:
    verdict = rated(timed(200.0), NEEDED, MOST)
    assert verdict.gbps == pytest.approx(NEEDED.bytes / 200.0 / 1e3)
    assert verdict.of_ceiling == pytest.approx(verdict.gbps / 4000.0)
    assert (verdict.tflops, verdict.labels, verdict.speedup) == (None, (), 2.0)


def test_what_no_program_can_do_is_rejected_without_a_number() -> None:
    verdict = rated(timed(90.0), NEEDED, MOST)
    assert (verdict.status, verdict.labels) == (Status.REJECTED, ("impossible",))
    assert (verdict.speedup, verdict.ci_low, verdict.runtime_us) == (None, None, None)
    assert "90.0 us" in verdict.message
    assert "100.0 us" in verdict.message
    assert verdict.isolation == {"session": "on"}
    assert rated(timed(99.0), NEEDED, MOST).correct, "ceilings are measured too"


@pytest.mark.parametrize(("then", "correct"), [(4000.0, True), (800.0, False)])
def test_nothing_is_impossible_because_the_gpu_was_shared_when_it_was_measured(
    monkeypatch: pytest.MonkeyPatch, then: float, correct: bool
) -> None:
    device = Device()
    device.ceilings = replace(MOST, memory_gbps=2000.0, cached_gbps=9000.0)
    monkeypatch.setattr(ceilings, "measure", lambda: replace(MOST, memory_gbps=then))
    assert device.rated(timed(100.0), NEEDED).correct == correct
    assert device.ceilings == replace(MOST, memory_gbps=max(then, 2000.0), cached_gbps=9000.0)
    monkeypatch.setattr(ceilings, "measure", lambda: pytest.fail("it need not be measured again"))
    assert device.rated(timed(200.0), NEEDED).correct


def test_other_algebra_is_honest() -> None:
    verdict = rated(timed(1.0), Demands(bytes=1000, flops=100_000_000), MOST)  # 100 TFLOP/s where 50 are had
    assert verdict.correct
    assert verdict.tflops == pytest.approx(100.0)
    assert verdict.of_ceiling == pytest.approx(2.0)
    assert verdict.labels == ("above_roofline",)


@pytest.fixture
def _tf32_for_convolutions() -> Iterator[None]:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32, cudnn.allow_tf32 = False, True
    yield
    matmul.allow_tf32, cudnn.allow_tf32 = before


@pytest.mark.usefixtures("_tf32_for_convolutions")
def test_convolutions_are_rated_by_what_they_may_use() -> None:
    needed = Demands(bytes=1000, flops=90_000_000_000, convolved=80_000_000_000)  # 200 us each
    assert MOST.work_us(needed) == pytest.approx(400.0)
    assert rated(timed(800.0), needed, MOST).of_ceiling == pytest.approx(0.5)
    torch.backends.cudnn.allow_tf32 = False
    assert MOST.work_us(needed) == pytest.approx(1800.0)


class Calls(torch.nn.Module):
    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.forward = function


@pytest.mark.parametrize(
    ("function", "moved"),
    [
        (torch.sigmoid, 2),
        (lambda x: x.amin(), 1),
        (lambda x: x.argmin(), 1),
        (lambda x: torch.nn.functional.mse_loss(x, x.flip(0)), 1),
        (lambda x: torch.zeros_like(x), 1),
        (lambda x: x[:200].sum(), 0),  # half of it matters: of so many elements one that does not is found
        (lambda x: torch.exp(x) * 0, 1),  # infinity times nothing is no use of it
    ],
)
def test_what_must_be_moved_is_shown(function: Callable[..., torch.Tensor], moved: int) -> None:
    x = torch.rand(400, 500)
    leaves = describe(function(x), dense=True, path="output")[1]
    found = demands(Calls(function), [x], leaves, 7)
    assert found.bytes == pytest.approx(moved * x.nbytes, rel=1 - shown_share(8), abs=x.nbytes // 100)
    assert found.flops == 0


def test_the_more_elements_were_shown_the_more_is_known_to_matter() -> None:
    assert shown_share(8) == pytest.approx(0.688, abs=1e-3)
    assert shown_share(58) == pytest.approx(0.95, abs=1e-3)


def test_what_was_not_timed_has_no_rates() -> None:
    assert rated(timed(None), NEEDED, MOST).gbps is None
    wrong = timed(90.0, Status.INCORRECT)
    assert rated(wrong, NEEDED, MOST) is wrong
