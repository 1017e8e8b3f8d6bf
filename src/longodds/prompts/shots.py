"""Worked examples of our own, for models that weren't trained on a format: (reference, answer).

None computes what a problem of the bundled suite or of KernelBench does, which would give its answer away
(tests/prompts/test_corpus_disjoint.py compares their chains of operations).
"""

from __future__ import annotations

# (reference, arguments of forward, faster body)
BODIES: tuple[tuple[str, str, str], ...] = (
    (
        """class Model(nn.Module):
    def __init__(self, gain):
        super().__init__()
        self.gain = gain
    def forward(self, u):
        z = u * self.gain
        s = 1 / (1 + torch.exp(-z))
        return z * s""",
        "self, u",
        "return F.silu(u * self.gain, inplace=True)",
    ),
    (
        """class Model(nn.Module):
    def forward(self, r, c):
        return (r.unsqueeze(1) + c).amax(dim=1)""",
        "self, r, c",
        "return r + c.max()",
    ),
    (
        """class Model(nn.Module):
    def forward(self, p):
        e = torch.exp(p)
        total = e.sum(dim=1, keepdim=True)
        w = e / total
        return torch.log(w)""",
        "self, p",
        "return F.log_softmax(p, dim=1)",
    ),
)

MODULE_REFERENCE = """import torch
import torch.nn as nn

class Model(nn.Module):
    def __init__(self, gain):
        super().__init__()
        self.gain = gain

    def forward(self, u):
        z = u * self.gain
        return z / (1 + torch.exp(-z))

def get_inputs():
    return [torch.rand(4096, 1000)]

def get_init_inputs():
    return [1.5]"""

_TORCH = """import torch
import torch.nn as nn
import torch.nn.functional as F


class ModelNew(nn.Module):
    def __init__(self, gain):
        super().__init__()
        self.gain = gain

    def forward(self, u):
        return F.silu(u * self.gain, inplace=True)"""

_TRITON = """import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def scaled_silu(u_ptr, out_ptr, gain, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    z = tl.load(u_ptr + at, mask=inside, other=0.0) * gain
    tl.store(out_ptr + at, z / (1 + tl.exp(-z)), mask=inside)


class ModelNew(nn.Module):
    def __init__(self, gain):
        super().__init__()
        self.gain = gain

    def forward(self, u):
        u = u.contiguous()
        out = torch.empty_like(u)
        n = u.numel()
        scaled_silu[(triton.cdiv(n, 1024),)](u, out, self.gain, n, BLOCK=1024)
        return out"""

_CUDA = '''import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

SOURCE = r"""
#include <torch/extension.h>
#include <ATen/cuda/CUDAContext.h>

__global__ void kernel(const float* u, float* out, float gain, int64_t n) {
    const int64_t stride = (int64_t)blockDim.x * gridDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride) {
        const float z = u[i] * gain;
        out[i] = z / (1.0f + expf(-z));
    }
}

torch::Tensor scaled_silu(torch::Tensor u, double gain) {
    auto in = u.contiguous();
    auto out = torch::empty_like(in);
    const int64_t n = in.numel();
    const int blocks = (int)std::min<int64_t>((n + 255) / 256, 4096);
    if (n > 0) {
        kernel<<<blocks, 256, 0, at::cuda::getCurrentCUDAStream()>>>(
            in.data_ptr<float>(), out.data_ptr<float>(), (float)gain, n);
    }
    return out;
}
"""
ops = load_inline(
    name="scaled_silu_cuda",
    cpp_sources="torch::Tensor scaled_silu(torch::Tensor u, double gain);",
    cuda_sources=SOURCE,
    functions=["scaled_silu"],
)


class ModelNew(nn.Module):
    def __init__(self, gain):
        super().__init__()
        self.gain = gain

    def forward(self, u):
        return ops.scaled_silu(u, self.gain)'''

_CPP = '''import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

SOURCE = r"""
#include <torch/extension.h>
#include <cmath>

torch::Tensor scaled_silu(torch::Tensor u, double gain) {
    auto in = u.contiguous();
    auto out = torch::empty_like(in);
    const float* x = in.data_ptr<float>();
    float* y = out.data_ptr<float>();
    const float g = (float)gain;
    for (int64_t i = 0, n = in.numel(); i < n; ++i) {
        const float z = x[i] * g;
        y[i] = z / (1.0f + std::exp(-z));
    }
    return out;
}
"""
ops = load_inline(
    name="scaled_silu_cpp",
    cpp_sources=SOURCE,
    functions=["scaled_silu"],
    extra_cflags=["-O3", "-march=native", "-ffast-math"],
)


class ModelNew(nn.Module):
    def __init__(self, gain):
        super().__init__()
        self.gain = gain

    def forward(self, u):
        return ops.scaled_silu(u, self.gain)'''

# Style -> the answer to MODULE_REFERENCE.
MODULES: dict[str, str] = {"module": _TORCH, "triton": _TRITON, "cuda": _CUDA, "cpp": _CPP}
