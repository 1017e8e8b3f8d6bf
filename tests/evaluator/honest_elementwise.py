"""Other ways to write softmax, elementwise operations and scans, all equal in exact arithmetic.

`rewrites.py` copies the functions that a rewritten program needs into its text, so each stands for itself: it may call
other functions of the `honest_*` files, `torch` and `F`, nothing else. Shapes and arguments are those of the torch
operation.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from honest_products import cuts, take
from honest_reductions import sum_blocks, sum_pairwise

# --- softmax and its kin


def softmax_logsumexp(x, dim):
    return torch.exp(x - torch.logsumexp(x, dim=dim, keepdim=True))


def softmax_by_hand(x, dim):
    weights = torch.exp(x - x.amax(dim=dim, keepdim=True))
    return weights * (1.0 / sum_pairwise(weights, dim, True))


def softmax_base_two(x, dim):
    scaled = x * 1.4426950408889634
    weights = torch.exp2(scaled - scaled.amax(dim=dim, keepdim=True))
    return weights / sum_blocks(weights, dim, True)


def softmax_online(x, dim):
    """Maximum and total in one pass over blocks, the total rescaled whenever the maximum grows."""
    peak = total = None
    for start, stop in cuts(x.shape[dim], min(5, x.shape[dim])):
        block = take(x, dim, start, stop)
        top = block.amax(dim=dim, keepdim=True)
        new = top if peak is None else torch.maximum(peak, top)
        safe = torch.where(torch.isinf(new), torch.zeros_like(new), new)
        part = torch.exp(block - safe).sum(dim=dim, keepdim=True)
        total = part if peak is None else total * torch.exp(peak - safe) + part
        peak = new
    return torch.exp(x - peak) / total


def softmax_double(x, dim):
    return torch.softmax(x.double(), dim=dim).to(x.dtype)


def log_softmax_by_hand(x, dim):
    shifted = x - x.amax(dim=dim, keepdim=True)
    return shifted - torch.log(sum_pairwise(torch.exp(shifted), dim, True))


def log_softmax_logsumexp(x, dim):
    return x - torch.logsumexp(x, dim=dim, keepdim=True)


def log_softmax_double(x, dim):
    return torch.log_softmax(x.double(), dim=dim).to(x.dtype)


def cross_entropy_gathered(scores, labels, reduction="none"):
    picked = scores.gather(1, labels.unsqueeze(1)).squeeze(1)
    return torch.logsumexp(scores, dim=1) - picked


# --- elementwise


def exp_base_two(x):
    return torch.exp2(x * 1.4426950408889634)


def exp_double(x):
    return torch.exp(x.double()).to(x.dtype)


def sigmoid_fraction(x):
    return 1.0 / (1.0 + torch.exp(-x))


def sigmoid_by_tanh(x):
    return 0.5 * torch.tanh(0.5 * x) + 0.5


def sigmoid_double(x):
    return torch.sigmoid(x.double()).to(x.dtype)


def tanh_by_expm1(x):
    t = torch.expm1(-2.0 * x.abs())
    return torch.copysign(t / (t + 2.0), x)


def tanh_double(x):
    return torch.tanh(x.double()).to(x.dtype)


def softplus_by_hand(x):
    return x.clamp(min=0.0) + torch.log1p(torch.exp(-x.abs()))


def softplus_logaddexp(x):
    return torch.logaddexp(x, torch.zeros_like(x))


def logsigmoid_by_hand(x):
    return x.clamp(max=0.0) - torch.log1p(torch.exp(-x.abs()))


def logsigmoid_softplus(x):
    return -F.softplus(-x)


def gelu_written_out(x, approximate="none"):
    if approximate == "tanh":
        inner = 0.7978845608028654 * x * (1.0 + 0.044715 * x * x)
        return x * torch.sigmoid(2.0 * inner)
    return 0.5 * x * torch.erfc(x * -0.7071067811865476)


def selu_written_out(x):
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    return torch.where(x > 0, scale * x, (scale * alpha) * torch.expm1(x))


def erf_by_erfc(x):
    return torch.copysign(1.0 - torch.erfc(x.abs()), x)


def log1p_double(x):
    return torch.log1p(x.double()).to(x.dtype)


def sqrt_power(x):
    return x**0.5


def sqrt_rsqrt(x):
    """x / sqrt(x) with zero left alone."""
    return torch.where(x > 0, x * torch.rsqrt(x), x)


def rsqrt_division(x):
    return 1.0 / torch.sqrt(x)


def divide_reciprocal(a, b):
    return a * (1.0 / b)


def divide_double(a, b):
    if not isinstance(a, torch.Tensor) and not isinstance(b, torch.Tensor):
        return a / b
    dtype = a.dtype if isinstance(a, torch.Tensor) else b.dtype
    wide = [t.double() if isinstance(t, torch.Tensor) else t for t in (a, b)]
    return (wide[0] / wide[1]).to(dtype)


def fma_addcmul(a, b, c):
    """a + b * c in one operation where all are tensors."""
    if all(isinstance(t, torch.Tensor) for t in (a, b, c)):
        return torch.addcmul(a, b, c)
    return a + b * c


def fma_double(a, b, c):
    tensors = [t for t in (a, b, c) if isinstance(t, torch.Tensor)]
    if not tensors:
        return a + b * c
    wide = [t.double() if isinstance(t, torch.Tensor) else t for t in (a, b, c)]
    return (wide[0] + wide[1] * wide[2]).to(tensors[0].dtype)


def power_by_products(x, n):
    if not isinstance(x, torch.Tensor) or not isinstance(n, (int, float)) or n != int(n) or n < 0:
        return x**n
    out = torch.ones_like(x)
    for _ in range(int(n)):
        out = out * x
    return out


# --- scans


def cumsum_blocks(x, dim):
    outs, carry = [], 0.0
    for start, stop in cuts(x.shape[dim], 6):
        part = torch.cumsum(take(x, dim, start, stop), dim=dim) + carry
        carry = part.narrow(dim, stop - start - 1, 1)
        outs.append(part)
    return torch.cat(outs, dim=dim)


def cumsum_doubling(x, dim):
    """log2(n) passes, each adds the value `step` places back."""
    x, step = x.movedim(dim, -1), 1
    while step < x.shape[-1]:
        x = torch.cat([x[..., :step], x[..., step:] + x[..., :-step]], dim=-1)
        step *= 2
    return x.movedim(-1, dim)


def cumprod_doubling(x, dim):
    x, step = x.movedim(dim, -1), 1
    while step < x.shape[-1]:
        x = torch.cat([x[..., :step], x[..., step:] * x[..., :-step]], dim=-1)
        step *= 2
    return x.movedim(-1, dim)


def cumprod_loop(x, dim):
    columns = list(x.unbind(dim))
    for i in range(1, len(columns)):
        columns[i] = columns[i - 1] * columns[i]
    return torch.stack(columns, dim=dim)
