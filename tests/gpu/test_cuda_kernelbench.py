"""Hand-written programs for problems of KernelBench get the verdict they deserve.

Needs a GPU, and LONGODDS_KERNELBENCH: a checkout of KernelBench. The programs are in `programs`; their first lines say
what they are for and what must come out: `faster` (with the lower limit above 1), `same` (correct, not faster),
`correct`, `incorrect`.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
import torch

from longodds.evaluator import EvaluatorSettings, LocalEvaluator, open_evaluator
from longodds.tasks import load_task

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that PyTorch can use"),
    pytest.mark.skipif("LONGODDS_KERNELBENCH" not in os.environ, reason="LONGODDS_KERNELBENCH names no checkout"),
]
PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.py"))


@pytest.fixture(scope="module")
def evaluator() -> Generator[LocalEvaluator]:
    with open_evaluator(EvaluatorSettings(device="cuda")) as opened:
        yield opened


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_a_program_gets_its_verdict(evaluator: LocalEvaluator, path: Path) -> None:
    text = path.read_text()
    header = dict(line[2:].split(": ", 1) for line in text.splitlines()[:2])
    verdict = evaluator.evaluate(load_task(header["task"]), text)
    said = (
        f"{verdict.status} {verdict.speedup} [{verdict.ci_low}, {verdict.ci_high}] {verdict.labels} {verdict.message}"
    )
    print(path.stem, said)
    assert verdict.status.value == ("incorrect" if header["expect"] == "incorrect" else "correct"), said
    if header["expect"] in ("faster", "same"):
        assert verdict.ci_low is not None
        assert (verdict.ci_low > 1) == (header["expect"] == "faster"), said
