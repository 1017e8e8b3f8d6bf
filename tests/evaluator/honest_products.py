"""Other ways to write products and convolutions, all equal in exact arithmetic.

`rewrites.py` copies the functions that a rewritten program needs into its text, so each stands for itself: it may call
other functions of the `honest_*` files, `torch` and `F`, nothing else. Shapes and arguments are those of the torch
operation.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

# --- products


def take(x, dim, start, stop):
    return x.narrow(dim, start, stop - start)


def cuts(n, parts):
    edges = [n * i // parts for i in range(parts + 1)]
    return [(edges[i], edges[i + 1]) for i in range(parts) if edges[i + 1] > edges[i]]


def matmul_split_k(a, b):
    k_of_b = 0 if b.dim() == 1 else b.dim() - 2
    total = None
    for start, stop in cuts(a.shape[-1], 7):
        part = torch.matmul(take(a, -1, start, stop), take(b, k_of_b, start, stop))
        total = part if total is None else total + part
    return total


def matmul_many_splits(a, b):
    k_of_b = 0 if b.dim() == 1 else b.dim() - 2
    total = None
    for start, stop in cuts(a.shape[-1], max(a.shape[-1] // 8, 1)):
        part = torch.matmul(take(a, -1, start, stop), take(b, k_of_b, start, stop))
        total = part if total is None else total.add_(part)
    return total


def matmul_backwards(a, b):
    """The inner index runs from its end to its start."""
    return torch.matmul(a.flip(-1), b.flip(0 if b.dim() == 1 else -2))


def matmul_transposed(a, b):
    if b.dim() == 1:
        return torch.matmul(b, a.transpose(-1, -2)) if a.dim() > 1 else torch.dot(b, a)
    if a.dim() == 1:
        return torch.matmul(b.transpose(-1, -2), a)
    return torch.matmul(b.transpose(-1, -2), a.transpose(-1, -2)).transpose(-1, -2).contiguous()


def matmul_einsum(a, b):
    left = "k" if a.dim() == 1 else "...mk"
    right = "k" if b.dim() == 1 else "...kn"
    out = "..." + ("" if a.dim() == 1 else "m") + ("" if b.dim() == 1 else "n")
    return torch.einsum(f"{left},{right}->{out}", a, b).contiguous()


def matmul_double(a, b):
    return torch.matmul(a.double(), b.double()).to(a.dtype)


def matmul_row_blocks(a, b):
    if a.dim() == 1:
        return torch.matmul(a, b)
    dim = -1 if b.dim() == 1 else -2
    return torch.cat([torch.matmul(take(a, -2, i, j), b) for i, j in cuts(a.shape[-2], 5)], dim=dim)


def matmul_column_blocks(a, b):
    if b.dim() == 1:
        return matmul_row_blocks(a, b)
    return torch.cat([torch.matmul(a, take(b, -1, i, j).contiguous()) for i, j in cuts(b.shape[-1], 3)], dim=-1)


def matmul_strassen(a, b):
    """One level of Strassen's recursion where the sides are even, seven products instead of eight."""
    if a.dim() < 2 or b.dim() < 2 or any(n % 2 for n in (*a.shape[-2:], b.shape[-1])):
        return torch.matmul(a, b)
    m, k, n = a.shape[-2] // 2, a.shape[-1] // 2, b.shape[-1] // 2
    a11, a12, a21, a22 = a[..., :m, :k], a[..., :m, k:], a[..., m:, :k], a[..., m:, k:]
    b11, b12, b21, b22 = b[..., :k, :n], b[..., :k, n:], b[..., k:, :n], b[..., k:, n:]
    p1 = torch.matmul(a11 + a22, b11 + b22)
    p2 = torch.matmul(a21 + a22, b11)
    p3 = torch.matmul(a11, b12 - b22)
    p4 = torch.matmul(a22, b21 - b11)
    p5 = torch.matmul(a11 + a12, b22)
    p6 = torch.matmul(a21 - a11, b11 + b12)
    p7 = torch.matmul(a12 - a22, b21 + b22)
    top = torch.cat([p1 + p4 - p5 + p7, p3 + p5], dim=-1)
    return torch.cat([top, torch.cat([p2 + p4, p1 - p2 + p3 + p6], dim=-1)], dim=-2)


def linear_matmul(x, weight, bias=None):
    out = torch.matmul(x, weight.t())
    return out if bias is None else out + bias


def linear_split_k(x, weight, bias=None):
    out = matmul_split_k(x, weight.t())
    return out if bias is None else out + bias


def linear_many_splits(x, weight, bias=None):
    out = matmul_many_splits(x, weight.t())
    return out if bias is None else out + bias


def linear_bias_first(x, weight, bias=None):
    """The bias as one more input feature that is always one."""
    if bias is None:
        return torch.matmul(weight, x.transpose(-1, -2)).transpose(-1, -2) if x.dim() > 1 else torch.mv(weight, x)
    ones = torch.ones_like(x[..., :1])
    return torch.matmul(torch.cat([ones, x], dim=-1), torch.cat([bias[:, None], weight], dim=1).t())


def linear_double(x, weight, bias=None):
    return F.linear(x.double(), weight.double(), None if bias is None else bias.double()).to(x.dtype)


def linear_output_blocks(x, weight, bias=None):
    parts = [F.linear(x, weight[i:j], None if bias is None else bias[i:j]) for i, j in cuts(weight.shape[0], 3)]
    return torch.cat(parts, dim=-1)


def linear_strassen(x, weight, bias=None):
    out = matmul_strassen(x, weight.t())
    return out if bias is None else out + bias


# --- convolutions


def pair(n):
    return (n, n) if isinstance(n, int) else tuple(n)


def padded(x, weight, padding):
    if padding == "same":
        padding = (weight.shape[2] // 2, weight.shape[3] // 2)
    rows, columns = pair(padding)
    return F.pad(x, (columns, columns, rows, rows))


def conv2d_taps(x, weight, bias=None, stride=1, padding=0, groups=1):
    """A sum over the taps of the kernel, one pointwise product for each."""
    x = padded(x, weight, padding)
    down, right = pair(stride)
    height = (x.shape[2] - weight.shape[2]) // down + 1
    width = (x.shape[3] - weight.shape[3]) // right + 1
    total = x.new_zeros(x.shape[0], weight.shape[0], height, width)
    per_group = weight.shape[0] // groups
    for i in range(weight.shape[2]):
        for j in range(weight.shape[3]):
            seen = x[:, :, i : i + down * (height - 1) + 1 : down, j : j + right * (width - 1) + 1 : right]
            tap = weight[:, :, i, j].view(groups, per_group, -1)
            parts = seen.reshape(x.shape[0], groups, -1, height * width)
            total += torch.matmul(tap, parts).view_as(total)
    return total if bias is None else total + bias.view(1, -1, 1, 1)


def conv2d_unfold(x, weight, bias=None, stride=1, padding=0, groups=1):
    """Image patches as columns, then one matrix product a group."""
    x = padded(x, weight, padding)
    down, right = pair(stride)
    height = (x.shape[2] - weight.shape[2]) // down + 1
    width = (x.shape[3] - weight.shape[3]) // right + 1
    columns = F.unfold(x, weight.shape[2:], stride=(down, right)).view(x.shape[0], groups, -1, height * width)
    out = torch.matmul(weight.view(groups, weight.shape[0] // groups, -1), columns)
    out = out.view(x.shape[0], weight.shape[0], height, width)
    return out if bias is None else out + bias.view(1, -1, 1, 1)


def conv2d_channels_last(x, weight, bias=None, stride=1, padding=0, groups=1):
    x = x.to(memory_format=torch.channels_last)
    return F.conv2d(x, weight.to(memory_format=torch.channels_last), bias, stride, padding, groups=groups)


def conv2d_double(x, weight, bias=None, stride=1, padding=0, groups=1):
    wide = None if bias is None else bias.double()
    return F.conv2d(x.double(), weight.double(), wide, stride, padding, groups=groups).to(x.dtype)


def conv2d_input_halves(x, weight, bias=None, stride=1, padding=0, groups=1):
    """Half of the input channels first, then the others; groups one by one."""
    outs = []
    per_group, width = weight.shape[0] // groups, weight.shape[1]
    for g in range(groups):
        w = weight[g * per_group : (g + 1) * per_group]
        part = x[:, g * width : (g + 1) * width]
        half = (width + 1) // 2
        out = F.conv2d(part[:, :half], w[:, :half], None, stride, padding)
        if width > half:
            out = out + F.conv2d(part[:, half:], w[:, half:], None, stride, padding)
        outs.append(out)
    out = torch.cat(outs, dim=1)
    return out if bias is None else out + bias.view(1, -1, 1, 1)


# --- attention


def attention_by_hand(query, key, value, is_causal=False, enable_gqa=False):
    if enable_gqa:
        key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
        value = value.repeat_interleave(query.shape[1] // value.shape[1], dim=1)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    if is_causal:
        keep = torch.ones(scores.shape[-2:], dtype=torch.bool).tril_()
        scores = scores.masked_fill(~keep, float("-inf"))
    weights = torch.exp2((scores - scores.amax(dim=-1, keepdim=True)) * 1.4426950408889634)
    return (weights * (1.0 / weights.sum(dim=-1, keepdim=True))) @ value


def attention_weights_last(query, key, value, is_causal=False, enable_gqa=False):
    """Values are summed with weights that are not normalised yet; one division an output."""
    if enable_gqa:
        key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
        value = value.repeat_interleave(query.shape[1] // value.shape[1], dim=1)
    scores = query @ (key / query.shape[-1] ** 0.5).transpose(-1, -2)
    if is_causal:
        keep = torch.ones(scores.shape[-2:], dtype=torch.bool).tril_()
        scores = scores.masked_fill(~keep, float("-inf"))
    weights = torch.exp(scores - scores.amax(dim=-1, keepdim=True))
    return (weights @ value) / weights.sum(dim=-1, keepdim=True)
