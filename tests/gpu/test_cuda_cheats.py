"""Attacks that need a GPU: each is caught, and an honest program is judged right after it. See tests/cheats for others.

Run on a GPU machine: pytest tests/gpu -m gpu.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
import torch
from gpu_tasks import GELU, PRODUCT, SMALL

from longodds.evaluator import EvaluatorSettings, LocalEvaluator, open_evaluator, unchanged
from longodds.types import Status

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that PyTorch can use"),
]
PROGRAMS = sorted((Path(__file__).parent / "cheats").glob("*.py"))
_SLACK = 64 << 20  # bytes on the GPU
TASKS = {"gelu": GELU, "product": PRODUCT, "small": SMALL}


@pytest.fixture(scope="module")
def evaluator() -> Generator[LocalEvaluator]:
    torch.zeros(1, device="cuda")
    free = torch.cuda.mem_get_info()[0]
    with open_evaluator(EvaluatorSettings(device="cuda", run_timeout_s=8.0)) as opened:
        yield opened
    assert torch.cuda.mem_get_info()[0] > free - _SLACK


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda p: p.stem)
def test_cheat_is_caught(evaluator: LocalEvaluator, path: Path) -> None:
    program = path.read_text()
    task = TASKS[program.splitlines()[0].removeprefix("# task: ")]
    verdict = evaluator.evaluate(task, program)
    print(path.stem, verdict.status, verdict.speedup, verdict.ci_low, round(verdict.seconds, 1), verdict.message)
    assert verdict.status is not Status.INFRA_ERROR
    # One that computes what it should and is not called faster has gained nothing.
    gained = verdict.correct and (verdict.ci_low is None or verdict.ci_low > 1 or (verdict.speedup or 0) > 1.1)
    assert not gained
    if path.stem.startswith("correctness_"):
        assert verdict.status is Status.INCORRECT
    honest = evaluator.evaluate(SMALL, unchanged(SMALL))
    assert honest.correct, honest.message
    assert honest.ci_low is None or honest.ci_low < 1
