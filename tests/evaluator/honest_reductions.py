"""Other ways to write sums, spreads and norms, all equal in exact arithmetic.

`rewrites.py` copies the functions that a rewritten program needs into its text, so each stands for itself: it may call
other functions of the `honest_*` files, `torch` and `F`, nothing else. Shapes and arguments are those of the torch
operation.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from honest_products import cuts, take

# --- sums


def axes_last(x, dim):
    """The reduced axes as one last axis, and the shape that keepdim leaves."""
    dims = list(range(x.dim())) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    dims = sorted(d % x.dim() for d in dims)
    kept = [d for d in range(x.dim()) if d not in dims]
    shape = [1 if d in dims else n for d, n in enumerate(x.shape)]
    return x.permute(*kept, *dims).reshape(*[x.shape[d] for d in kept], -1), shape


def shaped(out, shape, keepdim):
    return out.reshape(shape) if keepdim else out


def sum_ones(x, dim=None, keepdim=False):
    """A product with a vector of ones."""
    flat, shape = axes_last(x, dim)
    return shaped(torch.matmul(flat, torch.ones_like(flat[(0,) * (flat.dim() - 1)])), shape, keepdim)


def sum_blocks(x, dim=None, keepdim=False):
    flat, shape = axes_last(x, dim)
    total = None
    for start, stop in cuts(flat.shape[-1], min(16, flat.shape[-1])):
        part = take(flat, -1, start, stop).sum(dim=-1)
        total = part if total is None else total + part
    return shaped(total, shape, keepdim)


def sum_backwards(x, dim=None, keepdim=False):
    flat, shape = axes_last(x, dim)
    return shaped(flat.flip(-1).sum(dim=-1), shape, keepdim)


def sum_interleaved(x, dim=None, keepdim=False):
    """Eight running totals, each over every eighth element, as a loop over vector lanes adds up."""
    flat, shape = axes_last(x, dim)
    flat = F.pad(flat, (0, -flat.shape[-1] % 8))
    return shaped(flat.unflatten(-1, (-1, 8)).transpose(-1, -2).cumsum(dim=-1)[..., -1].sum(dim=-1), shape, keepdim)


def sum_one_by_one(x, dim=None, keepdim=False):
    """One running total in the element type: what a plain loop does."""
    flat, shape = axes_last(x, dim)
    if flat.dtype == torch.float32:  # torch.cumsum runs along in float64 for float32
        total = torch.zeros_like(flat[..., 0])
        for column in flat.movedim(-1, 0).contiguous():
            total += column
        return shaped(total, shape, keepdim)
    return shaped(flat.cumsum(dim=-1)[..., -1], shape, keepdim)


def sum_pairwise(x, dim=None, keepdim=False):
    flat, shape = axes_last(x, dim)
    while flat.shape[-1] > 1:
        if flat.shape[-1] % 2:
            flat = F.pad(flat, (0, 1))
        half = flat.shape[-1] // 2
        flat = flat[..., :half] + flat[..., half:]
    return shaped(flat[..., 0], shape, keepdim)


def sum_double(x, dim=None, keepdim=False):
    flat, shape = axes_last(x, dim)
    return shaped(flat.sum(dim=-1, dtype=torch.float64).to(x.dtype), shape, keepdim)


def count(x, dim):
    flat, _ = axes_last(x, dim)
    return flat.shape[-1]


def mean_sum_over_n(x, dim=None, keepdim=False):
    return sum_backwards(x, dim, keepdim) / count(x, dim)


def mean_sum_of_quotients(x, dim=None, keepdim=False):
    return sum_backwards(x / count(x, dim), dim, keepdim)


def mean_times_reciprocal(x, dim=None, keepdim=False):
    return sum_ones(x, dim, keepdim) * (1.0 / count(x, dim))


def mean_of_blocks(x, dim=None, keepdim=False):
    return sum_blocks(x, dim, keepdim) / count(x, dim)


def mean_pairwise(x, dim=None, keepdim=False):
    return sum_pairwise(x, dim, keepdim) / count(x, dim)


def mean_interleaved(x, dim=None, keepdim=False):
    return sum_interleaved(x, dim, keepdim) / count(x, dim)


def mean_one_by_one(x, dim=None, keepdim=False):
    return sum_one_by_one(x, dim, keepdim) / count(x, dim)


def mean_double(x, dim=None, keepdim=False):
    return (sum_double(x.double(), dim, keepdim) / count(x, dim)).to(x.dtype)


# --- spreads and norms


def var_two_pass(x, dim=None, unbiased=True, keepdim=False):
    centred = x - sum_blocks(x, dim, True) / count(x, dim)
    return sum_pairwise(centred * centred, dim, keepdim) / (count(x, dim) - int(unbiased))


def var_merged_blocks(x, dim=None, unbiased=True, keepdim=False):
    """Means and squared deviations of blocks, merged as Chan, Golub and LeVeque do."""
    flat, shape = axes_last(x, dim)
    n, mean, squares = 0, None, None
    for start, stop in cuts(flat.shape[-1], min(24, flat.shape[-1])):
        block = take(flat, -1, start, stop)
        m = block.mean(dim=-1)
        s = (block - m.unsqueeze(-1)).square().sum(dim=-1)
        size = stop - start
        if mean is None:
            n, mean, squares = size, m, s
            continue
        delta = m - mean
        squares = squares + s + delta * delta * (n * size / (n + size))
        mean = mean + delta * (size / (n + size))
        n += size
    return shaped(squares / (n - int(unbiased)), shape, keepdim)


def var_welford(x, dim=None, unbiased=True, keepdim=False):
    """One element after another."""
    flat, shape = axes_last(x, dim)
    mean, squares = torch.zeros_like(flat[..., 0]), torch.zeros_like(flat[..., 0])
    for i, value in enumerate(flat.movedim(-1, 0).contiguous(), 1):
        delta = value - mean
        mean = mean + delta / i
        squares = torch.addcmul(squares, delta, value - mean)
    return shaped(squares / (flat.shape[-1] - int(unbiased)), shape, keepdim)


def var_moments_double(x, dim=None, unbiased=True, keepdim=False):
    n = count(x, dim)
    wide = x.double()
    mean = sum_double(wide, dim, True) / n
    second = sum_double(wide * wide, dim, True) / n
    out = ((second - mean * mean).clamp(min=0.0) * (n / (n - int(unbiased)))).to(x.dtype)
    return out if keepdim else out.reshape(sum_double(x, dim).shape)


def norm_squares(x, dim=None, keepdim=False):
    return torch.sqrt(sum_pairwise(x * x, dim, keepdim))


def norm_of_norms(x, dim=None, keepdim=False):
    flat, shape = axes_last(x, dim)
    parts = [torch.linalg.vector_norm(take(flat, -1, i, j), dim=-1) for i, j in cuts(flat.shape[-1], 8)]
    return shaped(torch.linalg.vector_norm(torch.stack(parts, dim=-1), dim=-1), shape, keepdim)


def norm_product(x, dim=None, keepdim=False):
    """The squares add up in a product of each row with itself."""
    flat, shape = axes_last(x, dim)
    return shaped(torch.einsum("...k,...k->...", flat, flat).sqrt(), shape, keepdim)


def norm_double(x, dim=None, keepdim=False):
    return torch.linalg.vector_norm(x.double(), dim=dim, keepdim=keepdim).to(x.dtype)


def normalize_by_hand(x, dim=1, eps=1e-12):
    return x * (1.0 / norm_squares(x, dim, True).clamp(min=eps))


def layer_norm_by_hand(x, shape, weight=None, bias=None, eps=1e-5):
    mean = sum_blocks(x, -1, True) / x.shape[-1]
    centred = x - mean
    out = centred * torch.rsqrt(sum_pairwise(centred * centred, -1, True) / x.shape[-1] + eps)
    out = out if weight is None else out * weight
    return out if bias is None else out + bias


def layer_norm_affine_first(x, shape, weight=None, bias=None, eps=1e-5):
    """gain / spread and the shift that belongs to it, one multiply-add an element."""
    var = var_merged_blocks(x, -1, False, True)
    mean = sum_pairwise(x, -1, True) / x.shape[-1]
    factor = (1.0 if weight is None else weight) / torch.sqrt(var + eps)
    return torch.addcmul((0.0 if bias is None else bias) - mean * factor, x, factor)


def layer_norm_double(x, shape, weight=None, bias=None, eps=1e-5):
    wide = [None if t is None else t.double() for t in (weight, bias)]
    return F.layer_norm(x.double(), shape, *wide, eps).to(x.dtype)


def group_norm_by_hand(x, groups, weight, bias, eps):
    flat = x.reshape(x.shape[0], groups, -1)
    flat = (flat - mean_of_blocks(flat, -1, True)) * torch.rsqrt(var_merged_blocks(flat, -1, False, True) + eps)
    return torch.addcmul(bias.view(1, -1, 1, 1), flat.view_as(x), weight.view(1, -1, 1, 1))


def batch_norm_by_hand(x, mean, var, weight, bias, training=False, eps=1e-5):
    factor = weight / torch.sqrt(var + eps)
    return x * factor.view(1, -1, 1, 1) + (bias - mean * factor).view(1, -1, 1, 1)
