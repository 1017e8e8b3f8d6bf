"""Programs of known verdict, judged on this very machine: whether verdicts can be trusted here."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass

from longodds.config import EvaluationSettings, resolve
from longodds.strategies.opening import open_settings_evaluator
from longodds.types import Task, Verdict, digest_text


@dataclass(frozen=True, slots=True)
class Certified:
    """A program of known verdict: what it should get and what it got. as_expected: whether they agree."""

    name: str
    expected: str
    status: str
    as_expected: bool
    message: str


@dataclass(frozen=True, slots=True)
class _Known:
    """text: the body of `forward`, or a module. faster: whether it must be verified to be. needs: what it can't do
    without: a package or a command."""

    name: str
    text: str
    expected: tuple[str, ...]
    faster: bool = False
    needs: str = ""


_REFERENCE = """import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, x):
        out = torch.zeros_like(x)
        for _ in range(12):
            out = out + x.sin() / 12
        return out


def get_inputs():
    return [torch.randn(SIZE)]


def get_init_inputs():
    return []
"""
_TIMEOUT_S = {"cpu": 5.0, "cuda": 10.0}  # a kernel in Triton is compiled in a call
_SIZE = {"cpu": "256, 512", "cuda": "2048, 2048"}
_PROGRAM = """import os
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        BODY
"""
_TRITON = """import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def sines(x, out, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + at, tl.sin(tl.load(x + at, mask=at < n)), mask=at < n)


class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        sines[(triton.cdiv(x.numel(), 1024),)](x, out, x.numel(), BLOCK=1024)
        return out
"""
_INLINE = """import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

kernel = load_inline(
    name="sines",
    cpp_sources="torch::Tensor sines(torch::Tensor x);",
    cuda_sources=r'''
#include <torch/extension.h>
__global__ void each(const float* x, float* out, long n) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i < n) out[i] = sinf(x[i]);
}
torch::Tensor sines(torch::Tensor x) {
    auto out = torch::empty_like(x);
    long n = x.numel();
    each<<<(n + 255) / 256, 256>>>(x.data_ptr<float>(), out.data_ptr<float>(), n);
    return out;
}
''',
    functions=["sines"],
)


class ModelNew(nn.Module):
    def forward(self, x):
        return kernel.sines(x)
"""
_OTHER_STREAM = """side = torch.cuda.Stream()
        out = torch.zeros_like(x)
        with torch.cuda.stream(side):
            torch.cuda._sleep(20_000_000)
            out.copy_(torch.sin(x))
        return out"""
_ANYWHERE = (
    _Known("same result, less work", "return torch.sin(x)", ("correct",), faster=True),
    _Known("wrong result", "return torch.cos(x)", ("incorrect",)),
    _Known("right shape, no work", "return torch.zeros_like(x)", ("incorrect",)),
    _Known("echo of the input", "return x", ("incorrect",)),
    _Known("raises", "raise RuntimeError('on purpose')", ("runtime_error",)),
    _Known("never ends", "while True: pass", ("timeout",)),
    _Known("leaves the process", "os._exit(0)", ("runtime_error", "rejected", "incorrect")),
    _Known("no Python", "return (", ("compile_error",)),
)
_ON_A_GPU = (
    _Known("a kernel in Triton", _TRITON, ("correct",), faster=True, needs="triton"),
    _Known("a kernel in CUDA C++", _INLINE, ("correct",), faster=True, needs="nvcc"),
    _Known("still at work on another stream", _OTHER_STREAM, ("incorrect", "rejected")),
)


def certify_evaluator(device: str = "cpu") -> list[Certified]:
    """Judges programs of known verdict here; those that do less work must also be verified faster. Takes about half a
    minute; on a GPU with programs in Triton and CUDA C++, where their compilers are.

    Raises UserError where the device is not here, InfraError.
    """
    source = _REFERENCE.replace("SIZE", _SIZE[device])
    task = Task("certify/sines", "certify", source, digest_text(source))
    settings = resolve(EvaluationSettings, flags={"device": device, "timeout": _TIMEOUT_S[device], "cache": False})
    evaluator = open_settings_evaluator(settings)
    try:
        known = [*_ANYWHERE, *(k for k in _ON_A_GPU if device == "cuda" and _is_here(k.needs))]
        return [_certified(one, evaluator.evaluate(task, _module(one.text))) for one in known]
    finally:
        evaluator.close()


def _module(text: str) -> str:
    return text if "class ModelNew" in text else _PROGRAM.replace("BODY", text)


def _is_here(needed: str) -> bool:
    return not needed or shutil.which(needed) is not None or importlib.util.find_spec(needed) is not None


def _certified(known: _Known, verdict: Verdict) -> Certified:
    good = verdict.status.value in known.expected and (not known.faster or (verdict.ci_low or 0.0) > 1)
    wanted = " or ".join(known.expected) + (", faster" if known.faster else "")
    return Certified(known.name, wanted, verdict.status.value, good, verdict.message)
