"""The evaluator on a GPU: programs of every kind get their verdict. Run on a GPU machine: pytest tests/gpu -m gpu."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Generator

import pytest
import torch
from gpu_tasks import GELU, PRODUCT, SCALED, SLICED, SMALL, made

from longodds.evaluator import EvaluatorSettings, LocalEvaluator, open_evaluator, unchanged
from longodds.types import Status, Task

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that PyTorch can use"),
]

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
INLINE = """
import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = '''
#include <torch/extension.h>
#include <cuda_runtime.h>

__global__ void gelu(const float* x, float* y, long n) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i < n) {
        float v = x[i];
        y[i] = v * (1.0f + erff(v * 0.70710678118654752f)) + v;
    }
}

torch::Tensor run(torch::Tensor x) {
    TORCH_CHECK(x.is_cuda() && x.scalar_type() == torch::kFloat32, "a float tensor on the GPU");
    auto y = torch::empty_like(x);
    long n = x.numel();
    gelu<<<(n + 255) / 256, 256>>>(x.data_ptr<float>(), y.data_ptr<float>(), n);
    return y;
}
'''
module = load_inline(
    name="inline_gelu",
    cpp_sources="torch::Tensor run(torch::Tensor x);",
    cuda_sources=source,
    functions=["run"],
    extra_cuda_cflags=["-O3"],
)

class ModelNew(nn.Module):
    def forward(self, x):
        return module.run(x)
"""
GRAPH = """
import torch
import torch.nn as nn

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.graph = None

    def forward(self, x):
        if self.graph is None:
            self.place = torch.empty_like(x)
            torch.softmax(self.place, -1)
            torch.cuda.synchronize()
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.out = torch.softmax(self.place, -1)
        self.place.copy_(x)
        self.graph.replay()
        return self.out.clone()
"""
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


def test_numbers_among_the_inputs_cost_nothing(evaluator: LocalEvaluator) -> None:
    verdict = evaluator.evaluate(SCALED, unchanged(SCALED))
    assert verdict.correct
    assert verdict.speedup == pytest.approx(1.0, abs=0.005)


def test_nobody_pays_for_the_copy_of_a_slice(evaluator: LocalEvaluator) -> None:
    """Outputs with gaps are copied for the comparison, outside the timer: who copies by itself pays for it."""
    same = evaluator.evaluate(SLICED, unchanged(SLICED))
    assert same.correct, same.message
    assert same.speedup == pytest.approx(1.0, abs=0.02)
    copied = evaluator.evaluate(SLICED, _MODULE.format(names="x", body="torch.nn.functional.gelu(x)[:, :-8].clone()"))
    print(same.speedup, copied.speedup, copied.ci_low, copied.ci_high)
    assert copied.correct, copied.message
    assert copied.status is Status.CORRECT
    assert copied.speedup is not None
    assert copied.speedup < 0.8


def test_a_program_that_waits_for_the_gpu_is_measured_by_its_work(evaluator: LocalEvaluator) -> None:
    """The GPU waits for calls to be queued: that wait is no time of such a program's."""
    program = _MODULE.format(names="x", body="(torch.cuda.synchronize(), torch.nn.functional.gelu(x) * 2 + x)[1]")
    verdict = evaluator.evaluate(GELU, program)
    print(verdict.speedup, verdict.ci_low, verdict.ci_high, verdict.seconds)
    assert verdict.correct
    assert verdict.speedup is not None
    assert 0.6 < verdict.speedup < 1.05


def test_an_answer_is_read_from_where_it_is_now(evaluator: LocalEvaluator) -> None:
    """A program that gives memory back gets other memory at the same address."""
    program = _MODULE.format(names="x", body="(torch.cuda.empty_cache(), torch.nn.functional.gelu(x) * 2 + x)[1]")
    found = [evaluator.evaluate(GELU, program) for _ in range(5)]
    print([(v.speedup, v.ci_low, v.ci_high, v.seconds) for v in found])
    assert all(v.correct for v in found), [v.message for v in found]


@contextlib.contextmanager
def others_work() -> Generator[None]:
    """Another process multiplies on this GPU."""
    start = "import torch; a = torch.rand(4096, 4096, device='cuda'); print(flush=True)"
    work = f"{start}\nwhile True: a @ a; torch.cuda.synchronize()"
    with subprocess.Popen([sys.executable, "-c", work], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


def test_beside_others_work_programs_are_judged_and_verdicts_say_so(evaluator: LocalEvaluator) -> None:
    slow = _MODULE.format(names="x", body="(torch.nn.functional.gelu(x + 0) + 0) * 2 + x")
    with others_work():
        found = [evaluator.evaluate(GELU, program) for program in (unchanged(GELU), slow, TRITON)]
    print([(v.status, v.speedup, v.ci_low, v.ci_high, v.seconds, v.message) for v in found])
    assert all(v.correct and "shared_gpu" in v.labels for v in found)
    assert not any((v.ci_low or 0) > 1 for v in found[:2])
    again = [evaluator.evaluate(GELU, program) for program in (unchanged(GELU), slow, TRITON)]
    assert all(v.correct and "shared_gpu" not in v.labels for v in again)


@pytest.mark.parametrize("program", [TRITON, INLINE, COMPILED], ids=["triton", "inline", "torch.compile"])
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


def test_what_is_wrong_is_incorrect(evaluator: LocalEvaluator) -> None:
    assert evaluator.evaluate(GELU, ZEROS).status is Status.INCORRECT


def test_a_graph_is_judged_by_what_it_does(evaluator: LocalEvaluator) -> None:
    verdict = evaluator.evaluate(SMALL, GRAPH)
    assert verdict.correct
    assert verdict.speedup is not None
    assert (verdict.ci_high or verdict.speedup) < 1.1  # it copies twice; where that is hopeless, three pairs are all


def test_a_verdict_says_how_near_the_ceiling_it_is(evaluator: LocalEvaluator) -> None:
    verdict = evaluator.evaluate(GELU, TRITON)
    assert verdict.of_ceiling is not None
    assert verdict.gbps is not None
    assert 0.4 < verdict.of_ceiling < 1.05
    assert evaluator.evaluate(PRODUCT, unchanged(PRODUCT)).tflops is not None


def test_extensions_are_compiled_ahead_and_once(evaluator: LocalEvaluator) -> None:
    programs = [INLINE.replace("inline_gelu", f"gelu_{i}") for i in range(6)]
    start = time.monotonic()
    verdicts = dict(evaluator.evaluate_many(GELU, programs))
    took = time.monotonic() - start
    assert all(v.correct for v in verdicts.values())
    assert took / len(programs) < 15


@pytest.mark.parametrize(
    ("program", "status"),
    [
        (INLINE.replace("inline_gelu", "shared_gelu"), Status.CORRECT),
        (INLINE.replace("inline_gelu", "bad_gelu").replace("float v = x[i];", "flaot v = x[i];"), Status.RUNTIME_ERROR),
    ],
    ids=["compiles", "fails"],
)
def test_programs_that_make_the_same_call_share_what_it_compiled(
    evaluator: LocalEvaluator, program: str, status: Status
) -> None:
    assert evaluator.evaluate(GELU, program, timed=False).status is status
    start = time.monotonic()
    verdict = evaluator.evaluate(
        GELU, program.replace("return module.run(x)", "return module.run(x) * 1.0"), timed=False
    )
    assert verdict.status is status
    assert status is Status.CORRECT or "flaot" in verdict.message
    assert time.monotonic() - start < 4


def test_tasks_that_are_put_aside_leave_the_gpu_to_others(evaluator: LocalEvaluator) -> None:
    for number in range(6):
        task = made(f"large{number}", "x", f"x * {number + 2}", "torch.rand(1 << 29)")
        assert evaluator.evaluate(task, unchanged(task), timed=False).correct
    evaluator.describe(SMALL)
    free, total = torch.cuda.mem_get_info()
    assert total - free < total / 8


def test_extremes_and_sums_have_a_floor(evaluator: LocalEvaluator) -> None:
    for body in ("x.amin(0)", "((x - x.flip(0)) ** 2).mean()"):
        task = made(f"few {body}", "x", body, "torch.rand(16384, 8192)")
        about = evaluator.describe(task)
        assert about["demands"]["bytes"] > 0.9 * (4 << 27)
        assert 80 < about["floor_us"] < 200


def test_the_gpu_is_as_free_as_before() -> None:
    before = torch.cuda.mem_get_info()[0]
    with open_evaluator(EvaluatorSettings(device="cuda")) as opened:
        opened.evaluate(SMALL, ZEROS)
    assert torch.cuda.mem_get_info()[0] >= before - (64 << 20)
