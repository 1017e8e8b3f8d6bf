"""The evaluator on a GPU: programs of every kind get their verdict. Run on a GPU machine: pytest tests/gpu -m gpu."""

from __future__ import annotations

from collections.abc import Generator

import pytest
import torch

from longodds.evaluator import EvaluatorSettings, LocalEvaluator, open_evaluator, unchanged
from longodds.types import Status, Task, digest_text

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that PyTorch can use"),
]

_REFERENCE = """
import torch
import torch.nn as nn

class Model(nn.Module):
    def forward(self, {names}):
        return {body}

def get_inputs():
    return [{inputs}]

def get_init_inputs():
    return []
"""


def _task(name: str, names: str, body: str, inputs: str) -> Task:
    text = _REFERENCE.format(names=names, body=body, inputs=inputs)
    return Task(f"gpu/{name}", "gpu", text, digest_text(text))


GELU = _task("gelu", "x", "torch.nn.functional.gelu(x) * 2 + x", "torch.rand(4096, 8192)")
PRODUCT = _task("product", "a, b", "a @ b", "torch.rand(2048, 2048), torch.rand(2048, 2048)")
SMALL = _task("small", "x", "torch.softmax(x, -1)", "torch.rand(1024, 1024)")

_MODULE = """
import torch
import torch.nn as nn

class ModelNew(nn.Module):
    def forward(self, {names}):
        return {body}
"""
TRITON = """
import torch
import torch.nn as nn
import triton
import triton.language as tl

@triton.jit
def kernel(x, y, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    v = tl.load(x + at, mask=inside)
    g = 0.5 * v * (1.0 + tl.math.erf(v * 0.7071067811865476))
    tl.store(y + at, g * 2 + v, mask=inside)

class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        kernel[(triton.cdiv(x.numel(), 1024),)](x, y, x.numel(), BLOCK=1024)
        return y
"""
COMPILED = """
import torch
import torch.nn as nn

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = torch.compile(lambda x: torch.nn.functional.gelu(x) * 2 + x)

    def forward(self, x):
        return self.f(x)
"""
OTHER_STREAM = """
import torch
import torch.nn as nn

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.stream = torch.cuda.Stream()

    def forward(self, x):
        y = torch.empty_like(x)
        with torch.cuda.stream(self.stream):
            y.copy_(torch.nn.functional.gelu(x) * 2 + x)
        return y
"""
TF32 = "import torch\ntorch.backends.cuda.matmul.allow_tf32 = True\n" + _MODULE.format(names="a, b", body="a @ b")
ZEROS = _MODULE.format(names="x", body="x * 0")
SLOWER = _MODULE.format(names="x", body="(torch.nn.functional.gelu(x) * 2 + x).clone().clone()")


@pytest.fixture(scope="module")
def evaluator() -> Generator[LocalEvaluator]:
    with open_evaluator(EvaluatorSettings(device="cuda")) as opened:
        yield opened


@pytest.mark.parametrize("task", [GELU, PRODUCT, SMALL], ids=lambda t: t.id)
def test_an_unchanged_program_is_correct_and_not_faster(evaluator: LocalEvaluator, task: Task) -> None:
    verdict = evaluator.evaluate(task, unchanged(task))
    assert verdict.correct
    assert verdict.speedup == pytest.approx(1.0, abs=0.1 if task is SMALL else 0.02)
    assert verdict.ci_low is not None
    assert verdict.ci_low < 1
    assert any(label.startswith("tf32:") for label in verdict.labels)
    assert all(state == "on" for state in verdict.isolation.values())


@pytest.mark.parametrize("program", [TRITON, COMPILED], ids=["triton", "torch.compile"])
def test_one_kernel_for_three_is_faster(evaluator: LocalEvaluator, program: str) -> None:
    verdict = evaluator.evaluate(GELU, program)
    assert verdict.correct
    assert verdict.ci_low is not None
    assert verdict.ci_low > 2


def test_more_kernels_are_slower(evaluator: LocalEvaluator) -> None:
    verdict = evaluator.evaluate(GELU, SLOWER)
    assert verdict.correct
    assert verdict.ci_high is not None
    assert verdict.ci_high < 0.8


@pytest.mark.parametrize(
    ("task", "program"), [(GELU, ZEROS), (GELU, OTHER_STREAM), (PRODUCT, TF32)], ids=["zeros", "other stream", "tf32"]
)
def test_what_is_wrong_is_incorrect(evaluator: LocalEvaluator, task: Task, program: str) -> None:
    assert evaluator.evaluate(task, program).status is Status.INCORRECT


def test_the_gpu_is_as_free_as_before() -> None:
    before = torch.cuda.mem_get_info()[0]
    with open_evaluator(EvaluatorSettings(device="cuda")) as opened:
        opened.evaluate(SMALL, ZEROS)
    assert torch.cuda.mem_get_info()[0] >= before - (64 << 20)
