"""Other values for inputs that a task never draws: masks, positions, grids, scalars.

What is the same in every call could be ignored or built in by a program that is wrong for any other value. Here it is
varied, within what its kind suggests: a mask stays a mask, an ascending grid ascends, an index stays in range.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from longodds.evaluator import tree

_FEW_VALUES = 3


def constant_leaves(first: object, second: object) -> list[int]:
    """Numbers of the leaves that are equal in two draws from different seeds."""
    pairs = zip(tree.values(first), tree.values(second), strict=True)
    return [number for number, (a, b) in enumerate(pairs) if _same(a, b)]


def _same(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        equal = a == b
        return bool((equal | ((a != a) & (b != b))).all())
    return a == b


def vary_leaves(inputs: Any, which: Sequence[int], seed: int) -> Any:
    """The inputs with other values in the leaves `which`; one that can't be varied stays."""
    if not which:
        return inputs
    generator = torch.Generator().manual_seed(seed ^ 0xC0457A47)

    def change(number: int, leaf: object) -> object:
        return leaf if number not in which else (leaf if (new := vary(leaf, generator)) is None else new)

    return tree.map_leaves(inputs, change)


def vary(value: object, generator: torch.Generator) -> object | None:
    """Another value of the same kind, shape, dtype and strides; None where none suggests itself."""
    if type(value) is float:
        if not math.isfinite(value):
            return None
        return value * (1 + 0.3 * _normal((), generator).item()) + (0.1 if value == 0 else 0.0)
    if not isinstance(value, torch.Tensor) or value.numel() == 0:
        return None
    if value.is_cuda:
        new = vary(value.cpu(), generator)
        return new.to(value.device) if isinstance(new, torch.Tensor) else None
    # Expanded axes hold one value many times and go on doing so.
    index = tuple(slice(0, 1) if s == 0 else slice(None) for s in value.stride())
    small = value[index].contiguous()
    new = _varied(small, generator)
    if new is None or torch.equal(new, small):
        return None
    kept = torch.empty_strided(small.shape, value[index].stride(), dtype=value.dtype)
    return kept.copy_(new).expand(value.shape)


def _varied(x: torch.Tensor, g: torch.Generator) -> torch.Tensor | None:
    exact = not (x.is_floating_point() or x.is_complex())
    if exact and x.numel() == 1:
        return None  # a size or an axis more likely than a datum
    values = x.unique() if not x.is_complex() else x
    constant = bool((x == x.reshape(-1)[0]).all())
    masklike = len(values) <= _FEW_VALUES and not constant and x.numel() > 2 * _FEW_VALUES
    if x.dtype is torch.bool and constant:
        return x ^ (torch.rand(x.shape, generator=g) < 0.125)
    if x.dtype is torch.bool or masklike or not bool(torch.isfinite(x).all()):
        return _rearranged(x, g)
    if exact:
        return None if constant else _other_integers(x, g)
    return _other_floats(x, g, constant=constant)


def _rearranged(x: torch.Tensor, g: torch.Generator) -> torch.Tensor:
    """Whole slices in another order, along the last two axes: counts along either are kept."""
    for axis in range(max(0, x.dim() - 2), x.dim()):
        x = x.index_select(axis, torch.randperm(x.shape[axis], generator=g))
    return x


def _other_integers(x: torch.Tensor, g: torch.Generator) -> torch.Tensor:
    flat = x.reshape(-1)
    low, high = int(flat.min()), int(flat.max())
    if x.dim() == 1 and high - low + 1 == len(flat) == len(flat.unique()):
        return flat[torch.randperm(len(flat), generator=g)]  # positions: each once
    if bool((x.diff(dim=-1) >= 0).all()) and x.shape[-1] > 2:
        # Offsets, boundaries: they go on ascending between the same ends.
        new = torch.randint(low, high + 1, x.shape, generator=g).to(x.dtype).maximum(x[..., :1]).minimum(x[..., -1:])
        new[..., 0], new[..., -1] = x[..., 0], x[..., -1]
        return new.sort(dim=-1).values
    return flat[torch.randperm(len(flat), generator=g)].reshape(x.shape)


def _other_floats(x: torch.Tensor, g: torch.Generator, *, constant: bool) -> torch.Tensor:
    noise = _normal(x.shape, g).to(x.dtype)
    new = x * (1 + 0.3 * noise)
    if constant:
        return new + 0.1 * _normal(x.shape, g).to(x.dtype)
    if x.is_complex():
        return new
    if x.dim() >= 2 and x.shape[-1] == x.shape[-2] and torch.equal(x, x.mT):
        return torch.tril(new) + torch.tril(new, -1).mT
    steps = x.diff(dim=-1)
    if x.dim() and x.shape[-1] > 2 and bool((steps >= 0).all()):
        return new.sort(dim=-1).values
    if x.dim() and x.shape[-1] > 2 and bool((steps <= 0).all()):
        return new.sort(dim=-1, descending=True).values
    return new


def _normal(shape: Sequence[int], g: torch.Generator) -> torch.Tensor:
    return torch.randn(tuple(shape), generator=g).clamp_(-2, 2)
