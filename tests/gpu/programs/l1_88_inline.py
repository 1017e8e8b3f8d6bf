# task: kernelbench:1/88
# expect: faster
from __future__ import annotations

import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r"""
#include <torch/extension.h>
#include <cuda_runtime.h>

__device__ float gelu(float v) { return 0.5f * v * (1.0f + tanhf(0.7978845608028654f * (v + 0.044715f * v * v * v))); }

__global__ void each(const float* __restrict__ x, float* __restrict__ y, long n) {
    long i = (blockIdx.x * (long)blockDim.x + threadIdx.x) * 4;
    if (i + 3 < n) {
        float4 a = *reinterpret_cast<const float4*>(x + i);
        *reinterpret_cast<float4*>(y + i) = make_float4(gelu(a.x), gelu(a.y), gelu(a.z), gelu(a.w));
    } else {
        for (; i < n; i++) y[i] = gelu(x[i]);
    }
}

torch::Tensor run(torch::Tensor x) {
    auto y = torch::empty_like(x);
    long n = x.numel(), threads = (n + 3) / 4;
    each<<<(threads + 255) / 256, 256>>>(x.data_ptr<float>(), y.data_ptr<float>(), n);
    return y;
}
"""
module = load_inline(
    name="new_gelu", cpp_sources="torch::Tensor run(torch::Tensor x);", cuda_sources=source, functions=["run"]
)


class ModelNew(nn.Module):
    def forward(self, x):
        return module.run(x)
