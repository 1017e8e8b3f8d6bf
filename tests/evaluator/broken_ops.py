"""Wrong ways to write common operations: what mutants are made of (see `honest_*` for the right ones).

Names that begin with `OPERATION_narrow_` compute in half precision or truncate what they read; float64 does not show
those, so they are compared as they are.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


def narrow_tf32(x):
    """Ten explicit bits of mantissa, rounded to nearest, as tensor cores read float32."""
    if x.dtype != torch.float32:
        return x
    bits = x.view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)


def narrow_bf16(x):
    return x.to(torch.bfloat16).to(x.dtype)


def narrow_fp16(x):
    return x.to(torch.float16).to(x.dtype)


# --- products


def matmul_narrow_tf32(a, b):
    return torch.matmul(narrow_tf32(a), narrow_tf32(b))


def matmul_narrow_bf16(a, b):
    return torch.matmul(narrow_bf16(a), narrow_bf16(b))


def matmul_narrow_fp16(a, b):
    return torch.matmul(narrow_fp16(a), narrow_fp16(b))


def matmul_narrow_fp16_result(a, b):
    return narrow_fp16(torch.matmul(a, b))


def matmul_narrow_bf16_weights(a, b):
    return torch.matmul(a, narrow_bf16(b))


def matmul_without_last_of_k(a, b):
    k = a.shape[-1] - 1
    return torch.matmul(a[..., :k], b[:k] if b.dim() == 1 else b[..., :k, :])


def matmul_without_last_block(a, b):
    k = a.shape[-1] - max(a.shape[-1] // 16, 1)
    return torch.matmul(a[..., :k], b[:k] if b.dim() == 1 else b[..., :k, :])


def matmul_last_row_zero(a, b):
    out = torch.matmul(a, b)
    out[..., -1:, :] = 0.0
    return out


def matmul_scaled(a, b):
    return torch.matmul(a, b) * 1.0001


def linear_narrow_tf32(x, weight, bias=None):
    return F.linear(narrow_tf32(x), narrow_tf32(weight), bias)


def linear_narrow_bf16(x, weight, bias=None):
    return F.linear(narrow_bf16(x), narrow_bf16(weight), bias)


def linear_narrow_fp16_weights(x, weight, bias=None):
    return F.linear(x, narrow_fp16(weight), bias)


def linear_missing_bias(x, weight, bias=None):
    return F.linear(x, weight)


def linear_without_last_feature(x, weight, bias=None):
    return F.linear(x[..., :-1], weight[:, :-1], bias)


def linear_bias_twice(x, weight, bias=None):
    return F.linear(x, weight, bias) if bias is None else F.linear(x, weight, bias) + bias


def conv2d_narrow_tf32(x, weight, bias=None, stride=1, padding=0, groups=1):
    return F.conv2d(narrow_tf32(x), narrow_tf32(weight), bias, stride, padding, groups=groups)


def conv2d_narrow_bf16(x, weight, bias=None, stride=1, padding=0, groups=1):
    return F.conv2d(narrow_bf16(x), narrow_bf16(weight), bias, stride, padding, groups=groups)


def conv2d_missing_bias(x, weight, bias=None, stride=1, padding=0, groups=1):
    return F.conv2d(x, weight, None, stride, padding, groups=groups)


def conv2d_flipped_kernel(x, weight, bias=None, stride=1, padding=0, groups=1):
    return F.conv2d(x, weight.flip(2, 3), bias, stride, padding, groups=groups)


def conv2d_missing_tap(x, weight, bias=None, stride=1, padding=0, groups=1):
    weight = weight.clone()
    weight[:, :, -1, -1] = 0.0
    return F.conv2d(x, weight, bias, stride, padding, groups=groups)


def conv2d_edge_repeated(x, weight, bias=None, stride=1, padding=0, groups=1):
    p = (weight.shape[2] // 2, weight.shape[3] // 2) if padding == "same" else padding
    rows, columns = (p, p) if isinstance(p, int) else p
    padded = F.pad(x, (columns, columns, rows, rows), mode="replicate")
    return F.conv2d(padded, weight, bias, stride, 0, groups=groups)


# --- reductions


def last_axis(x, dim):
    return -1 if dim is None else dim if isinstance(dim, int) else dim[-1]


def sum_narrow_bf16(x, dim=None, keepdim=False):
    return narrow_bf16(x).sum(dim=dim, keepdim=keepdim)


def sum_narrow_fp16_total(x, dim=None, keepdim=False):
    return narrow_fp16(x.sum(dim=dim, keepdim=keepdim))


def sum_without_last(x, dim=None, keepdim=False):
    axis = last_axis(x, dim)
    return x.narrow(axis, 0, x.shape[axis] - 1).sum(dim=dim, keepdim=keepdim)


def sum_without_last_block(x, dim=None, keepdim=False):
    axis = last_axis(x, dim)
    return x.narrow(axis, 0, x.shape[axis] // 16 * 15).sum(dim=dim, keepdim=keepdim)


def mean_narrow_bf16(x, dim=None, keepdim=False):
    return narrow_bf16(x).mean(dim=dim, keepdim=keepdim)


def mean_one_too_many(x, dim=None, keepdim=False):
    n = x[..., :1].numel() / x.mean(dim=dim, keepdim=True).numel() * x.shape[-1]
    return x.mean(dim=dim, keepdim=keepdim) * (n / (n + 1))


def mean_without_first(x, dim=None, keepdim=False):
    axis = last_axis(x, dim)
    return x.narrow(axis, 1, x.shape[axis] - 1).mean(dim=dim, keepdim=keepdim)


def var_other_denominator(x, dim=None, unbiased=True, keepdim=False):
    return x.var(dim=dim, unbiased=not unbiased, keepdim=keepdim)


def var_around_zero(x, dim=None, unbiased=True, keepdim=False):
    return x.square().mean(dim=dim, keepdim=keepdim)


def var_narrow_bf16(x, dim=None, unbiased=True, keepdim=False):
    return narrow_bf16(x).var(dim=dim, unbiased=unbiased, keepdim=keepdim)


def norm_of_magnitudes(x, dim=None, keepdim=False):
    return x.abs().sum(dim=dim, keepdim=keepdim)


def norm_narrow_bf16(x, dim=None, keepdim=False):
    return torch.linalg.vector_norm(narrow_bf16(x), dim=dim, keepdim=keepdim)


def layer_norm_other_eps(x, shape, weight=None, bias=None, eps=1e-5):
    return F.layer_norm(x, shape, weight, bias, eps * 1000)


def layer_norm_unbiased(x, shape, weight=None, bias=None, eps=1e-5):
    out = (x - x.mean(dim=-1, keepdim=True)) / torch.sqrt(x.var(dim=-1, keepdim=True) + eps)
    return out * weight + bias


def layer_norm_no_bias(x, shape, weight=None, bias=None, eps=1e-5):
    return F.layer_norm(x, shape, weight, None, eps)


def layer_norm_narrow_bf16(x, shape, weight=None, bias=None, eps=1e-5):
    return F.layer_norm(narrow_bf16(x), shape, weight, bias, eps)


# --- softmax and elementwise


def softmax_over_maximum(x, dim):
    """The largest term where the sum of all is due."""
    return torch.exp(x - x.amax(dim=dim, keepdim=True))


def softmax_narrow_bf16(x, dim):
    return torch.softmax(narrow_bf16(x), dim=dim)


def softmax_narrow_fp16_result(x, dim):
    return narrow_fp16(torch.softmax(x, dim=dim))


def softmax_wrong_base(x, dim):
    weights = torch.exp2((x - x.amax(dim=dim, keepdim=True)) * 1.44)
    return weights / weights.sum(dim=dim, keepdim=True)


def softmax_without_last(x, dim):
    top = x.amax(dim=dim, keepdim=True)
    weights = torch.exp(x - top)
    return weights / weights.narrow(dim, 0, x.shape[dim] - 1).sum(dim=dim, keepdim=True)


def log_softmax_over_maximum(x, dim):
    return x - x.amax(dim=dim, keepdim=True)


def log_softmax_narrow_bf16(x, dim):
    return torch.log_softmax(narrow_bf16(x), dim=dim)


def exp_series(x):
    """(1 + x / 1024) to the power 1024."""
    y = 1.0 + x / 1024.0
    for _ in range(10):
        y = y * y
    return y


def exp_narrow_bf16(x):
    return narrow_bf16(torch.exp(x))


def sigmoid_hard(x):
    return (x / 6.0 + 0.5).clamp(0.0, 1.0)


def sigmoid_narrow_fp16(x):
    return narrow_fp16(torch.sigmoid(x))


def tanh_rational(x):
    y = x.clamp(-4.97, 4.97)
    s = y * y
    return y * (135135 + s * (17325 + s * (378 + s))) / (135135 + s * (62370 + s * (3150 + s * 28)))


def tanh_narrow_bf16(x):
    return torch.tanh(narrow_bf16(x))


def softplus_relu(x):
    return x.clamp(min=0.0)


def softplus_cut_early(x):
    return torch.where(x > 8.0, x, torch.log1p(torch.exp(x.clamp(max=8.0))))


def logsigmoid_cut_early(x):
    return torch.where(x < -8.0, x, -torch.log1p(torch.exp(-x.clamp(min=-8.0))))


def gelu_other_form(x, approximate="none"):
    return F.gelu(x, approximate="tanh" if approximate == "none" else "none")


def gelu_by_logistic(x, approximate="none"):
    return x * torch.sigmoid(1.702 * x)


def erf_polynomial(x):
    """Abramowitz and Stegun 7.1.25, right to 2.5e-5."""
    t = 1.0 / (1.0 + 0.47047 * x.abs())
    return torch.sign(x) * (1.0 - t * (0.3480242 + t * (-0.0958798 + t * 0.7478556)) * torch.exp(-x * x))


def selu_one_constant(x):
    return 1.0507 * torch.where(x > 0, x, 1.67 * torch.expm1(x))


def log1p_log(x):
    return torch.log(x + 1e-3)


def rsqrt_narrow_bf16(x):
    return narrow_bf16(torch.rsqrt(x))


def rsqrt_two_steps(x):
    """Newton's iteration from a guess that is right to a tenth."""
    y = 1.1 * torch.rsqrt(x)
    for _ in range(2):
        y = y * (1.5 - 0.5 * x * y * y)
    return y


def sqrt_narrow_fp16(x):
    return narrow_fp16(torch.sqrt(x))


def divide_narrow_tf32(a, b):
    if not isinstance(b, torch.Tensor):
        return a / b
    return a * narrow_tf32(1.0 / b)


def divide_one_step(a, b):
    """A reciprocal by one Newton step from a guess that is right to a hundredth."""
    if not isinstance(b, torch.Tensor):
        return a / b
    y = 1.01 / b
    return a * (y * (2.0 - b * y))


def power_one_more(x, n):
    return x ** (n + 1)


def cumsum_exclusive(x, dim):
    return torch.cumsum(x, dim=dim) - x


def cumsum_narrow_bf16(x, dim):
    return torch.cumsum(narrow_bf16(x), dim=dim)


def cumprod_exclusive(x, dim):
    return torch.cumprod(x, dim=dim) / x


def attention_no_scale(query, key, value, is_causal=False, enable_gqa=False):
    return F.scaled_dot_product_attention(query, key, value, is_causal=is_causal, enable_gqa=enable_gqa, scale=1.0)


def attention_mask_flipped(query, key, value, is_causal=False, enable_gqa=False):
    return F.scaled_dot_product_attention(query, key, value, is_causal=not is_causal, enable_gqa=enable_gqa)


def attention_narrow_bf16(query, key, value, is_causal=False, enable_gqa=False):
    narrow = [narrow_bf16(t) for t in (query, key, value)]
    return F.scaled_dot_product_attention(*narrow, is_causal=is_causal, enable_gqa=enable_gqa)


def cross_entropy_maximum(scores, labels, reduction="none"):
    return scores.amax(dim=1) - scores.gather(1, labels.unsqueeze(1)).squeeze(1)


def fma_narrow_fp16(a, b, c):
    if not all(isinstance(t, torch.Tensor) for t in (b, c)):
        return a + b * c
    return a + narrow_fp16(b * c)
