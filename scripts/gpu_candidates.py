"""Candidates for the bench on a GPU: 64 a task, about half of them distinct, a fifth broken, one in twenty hostile.

Bodies as models write them for problems of KernelBench's level 1, in other words several times; for two of the problems
kernels in inline CUDA C++, of several kinds and block sizes, each a compilation of its own.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

# Of a forward that gets (A, B) or x as KernelBench's does: right ones, then wrong ones.
RIGHT: dict[int, tuple[str, ...]] = {
    4: (
        "torch.matmul(A, B)",
        "A @ B",
        "torch.mm(A, B)",
        "torch.mv(A, B.squeeze(1)).unsqueeze(1)",
        "torch.einsum('mk,kn->mn', A, B)",
        "torch.nn.functional.linear(A, B.t())",
    ),
    5: ("A * B", "torch.mul(A, B)", "A.mul(B)", "B * A", "torch.add(A, A, alpha=B - 1)", "A.clone().mul_(B)"),
    12: (
        "A.unsqueeze(1) * B",
        "A[:, None] * B",
        "torch.mul(A.view(-1, 1), B)",
        "torch.einsum('n,nm->nm', A, B)",
        "(B.t() * A).t()",
        "torch.diag(A) @ B",
    ),
    14: (
        "torch.triu(torch.matmul(A, B))",
        "(A @ B).triu()",
        "(A @ B).triu_()",
        "torch.mm(A, B)",
        "torch.triu(torch.mm(A, B))",
        "(B.t() @ A.t()).t().triu()",
    ),
    15: (
        "torch.tril(torch.matmul(A, B))",
        "(A @ B).tril()",
        "(A @ B).tril_()",
        "torch.mm(A, B)",
        "torch.tril(torch.mm(A, B))",
        "(B.t() @ A.t()).t().tril()",
    ),
    19: (
        "torch.relu(x)",
        "x.clamp(min=0)",
        "torch.nn.functional.relu(x)",
        "torch.clamp_min(x, 0)",
        "x * (x > 0)",
        "torch.where(x > 0, x, 0)",
    ),
    23: (
        "torch.softmax(x, dim=1)",
        "x.softmax(1)",
        "torch.nn.functional.softmax(x, dim=1)",
        "(x - torch.logsumexp(x, 1, keepdim=True)).exp()",
        "torch.exp(torch.log_softmax(x, 1))",
        "x.softmax(dim=-1)",
    ),
    40: (
        "self.ln(x)",
        "torch.nn.functional.layer_norm(x, x.shape[1:], self.ln.weight, self.ln.bias)",
        "torch.layer_norm(x, x.shape[1:], self.ln.weight, self.ln.bias)",
        "torch.native_layer_norm(x, x.shape[1:], self.ln.weight, self.ln.bias, 1e-5)[0]",
        "self.ln(x.contiguous())",
        "torch.nn.functional.layer_norm(x, x.shape[1:]) * self.ln.weight + self.ln.bias",
    ),
}
WRONG: dict[int, tuple[str, str]] = {
    4: ("A[:, :1] * B[:1]", "(A[:, ::2] @ B[::2]) * 2"),
    5: ("A * 3.0", "A + B"),
    12: ("A * B", "B"),
    14: ("torch.triu(A * B)", "torch.tril(A @ B)"),
    15: ("torch.tril(A * B)", "torch.triu(A @ B)"),
    19: ("x", "torch.sigmoid(x)"),
    23: ("torch.softmax(x, dim=0)", "torch.sigmoid(x)"),
    40: ("x", "x / x.std()"),
    21: ("torch.tanh(x)", "x * 0.25 + 0.5"),
    26: ("torch.nn.functional.silu(x)", "torch.nn.functional.gelu(x, approximate='tanh') * 1.01"),
}
INLINE = {21: "1.0f / (1.0f + expf(-v))", 26: "0.5f * v * (1.0f + erff(v * 0.70710678118654752f))"}
_BLOCKS = (64, 128, 192, 256, 384, 512)
_RAISING = ("x = undefined_name", "raise ValueError('shapes do not fit')")
_HOSTILE = (
    # Filled in after the answer, on another stream.
    "        side = torch.cuda.Stream()\n        out = REST\n        late = torch.zeros_like(out)\n"
    "        with torch.cuda.stream(side):\n            torch.cuda._sleep(50_000_000)\n            late.copy_(out)\n"
    "        return late\n",
    # Remembers answers by address.
    "        key = INPUT.data_ptr()\n        self.__dict__.setdefault('seen', {})\n"
    "        if key not in self.seen:\n            self.seen[key] = REST\n        return self.seen[key]\n",
    # Ends the process after the first calls.
    "        self.__dict__['calls'] = self.__dict__.get('calls', 0) + 1\n"
    "        if self.calls > 3:\n            import os\n            os._exit(0)\n        return REST\n",
)
_KERNELS = (
    "long i = blockIdx.x * (long)blockDim.x + threadIdx.x; if (i < n) { float v = x[i]; y[i] = EXPR; }",
    "for (long i = blockIdx.x * (long)blockDim.x + threadIdx.x; i < n; i += gridDim.x * (long)blockDim.x) "
    "{ float v = x[i]; y[i] = EXPR; }",
    "long i = (blockIdx.x * (long)blockDim.x + threadIdx.x) * 4; "
    "for (int k = 0; k < 4; k++) if (i + k < n) { float v = x[i + k]; y[i + k] = EXPR; }",
    "long i = (blockIdx.x * (long)blockDim.x + threadIdx.x) * 4; "
    "if (i + 3 < n) { float4 a = *(const float4*)(x + i), b; float v = a.x; b.x = EXPR; v = a.y; b.y = EXPR; "
    "v = a.z; b.z = EXPR; v = a.w; b.w = EXPR; *(float4*)(y + i) = b; } "
    "else for (long k = i; k < n; k++) { float v = x[k]; y[k] = EXPR; }",
)
_EXTENSION = """
from torch.utils.cpp_extension import load_inline

_source = r'''
#include <torch/extension.h>
#include <cuda_runtime.h>
__global__ void each(const float* __restrict__ x, float* __restrict__ y, long n) {
    KERNEL
}
torch::Tensor each_of(torch::Tensor x) {
    auto y = torch::empty_like(x);
    long n = x.numel(), blocks = (n / PER + BLOCK - 1) / BLOCK + 1;
    each<<<blocks, BLOCK>>>(x.data_ptr<float>(), y.data_ptr<float>(), n);
    return y;
}
'''
_module = load_inline(name="NAME", cpp_sources="torch::Tensor each_of(torch::Tensor x);", cuda_sources=_source,
                      functions=["each_of"], verbose=False)
"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """kind: `right`, `wrong`, `raises`, `no python` or `hostile`."""

    text: str
    kind: str


def _model(number: int, reference: str, body: str, head: str = "", mark: int = 0) -> str:
    """A module as KernelBench's prompt asks for: the reference's, with another forward."""
    names = {5: "A, B", 12: "A, B", 4: "A, B", 14: "A, B", 15: "A, B"}.get(number, "x")
    lines = body if body.startswith("        ") else f"        return {body}\n"
    inert = f"        unused_{mark} = {mark}\n" if mark else ""
    return f"{reference}\n{head}\n\nclass ModelNew(Model):\n    def forward(self, {names}):\n{inert}{lines}"


def _right(number: int, reference: str) -> list[str]:
    """24 distinct programs."""
    if number in INLINE:
        found: list[str] = []
        for i, kernel in enumerate(_KERNELS):
            for block in _BLOCKS:
                name = f"each_{number}_{i}_{block}"
                head = _EXTENSION.replace("KERNEL", kernel.replace("EXPR", INLINE[number])).replace("NAME", name)
                head = head.replace("BLOCK", str(block)).replace("PER", "4" if i > 1 else "1")
                found.append(_model(number, reference, "_module.each_of(x)", head))
        return found
    return [_model(number, reference, body, mark=mark) for mark in range(4) for body in RIGHT[number]]


def candidates(number: int, reference: str, seed: int = 0) -> list[Candidate]:
    """64 candidates of a problem of level 1, in an order as if sampled: 32 distinct, 13 broken, 3 of these hostile."""
    rng = random.Random(f"{seed} {number}")
    right = _right(number, reference)
    plain = RIGHT.get(number, ("torch.sigmoid(x)",) if number == 21 else ("torch.nn.functional.gelu(x)",))[0]
    found = [Candidate(text, "right") for text in [*right, *rng.choices(right, k=51 - len(right))]]
    found += [Candidate(_model(number, reference, body), "wrong") for body in WRONG[number] * 2]
    found += [Candidate(_model(number, reference, f"        {line}\n"), "raises") for line in _RAISING * 2]
    found += [Candidate(_model(number, reference, "torch.relu(("), "no python")] * 2
    first = "A" if number in (4, 5, 12, 14, 15) else "x"
    hostile = [text.replace("REST", plain).replace("INPUT", first) for text in _HOSTILE]
    found += [Candidate(_model(number, reference, text), "hostile") for text in hostile]
    rng.shuffle(found)
    return found
