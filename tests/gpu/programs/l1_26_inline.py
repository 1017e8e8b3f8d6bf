# task: kernelbench:1/26
# expect: correct
from __future__ import annotations

import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r"""
#include <torch/extension.h>
#include <cuda_runtime.h>

__global__ void each(const float* __restrict__ x, float* __restrict__ y, long n) {
    long i = (blockIdx.x * (long)blockDim.x + threadIdx.x) * 4;
    for (int k = 0; k < 4 && i + k < n; k++) {
        float v = x[i + k];
        y[i + k] = 0.5f * v * (1.0f + erff(v * 0.70710678118654752f));
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
    name="plain_gelu", cpp_sources="torch::Tensor run(torch::Tensor x);", cuda_sources=source, functions=["run"]
)


class ModelNew(nn.Module):
    def forward(self, x):
        return module.run(x)
