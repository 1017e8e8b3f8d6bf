"""Is an output right? Error against a yardstick, judged by tolerances that were measured, not chosen.

A tolerance bounds the largest and the root-mean-square error of one output leaf under one law, and the error of rows
that are much smaller than the largest by their own size. All are small multiples of what the reference itself errs
(docs/evaluation.md), so an honest reordering passes and half precision, which errs some thousand times more, does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from longodds.evaluator.tree import Leaf

INFINITE = float("inf")
_SMALL_ROW = 0.01  # of the leaf's largest element


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Absolute bounds for one leaf: `peak` on the largest error, `rms` on the root mean square.

    row: bound on the largest error in a small row over that row's own largest element; infinite where the reference has
    no such rows to measure it on. For exact types (bool, integers) peak is the share of elements that may differ.
    """

    peak: float
    rms: float
    row: float = INFINITE

    def times(self, factor: float) -> Tolerance:
        return Tolerance(self.peak * factor, self.rms * factor, self.row * factor)


ANYTHING = Tolerance(INFINITE, INFINITE)


def is_exact(t: torch.Tensor) -> bool:
    """Whether values of this type are compared for equality: bool and integers."""
    return not (t.is_floating_point() or t.is_complex())


def scale_of(t: torch.Tensor) -> float:
    """The largest element; 1 where there is none, and for exact types."""
    return float(_largest(t)) if t.numel() and not is_exact(t) else 1.0


def _largest(t: torch.Tensor, dim: int | None = None) -> torch.Tensor:
    """Of the absolute values, everywhere or along a dimension. On a GPU in one pass over memory; on a CPU the norm is
    several times slower than two."""
    if t.is_cuda:
        return torch.linalg.vector_norm(t, float("inf"), dim=dim)
    return t.abs().max() if dim is None else t.abs().amax(dim=dim)


@dataclass(frozen=True, slots=True)
class Errors:
    """Largest and root-mean-square difference of a leaf (infinite where NaN or infinities do not match).

    row: largest difference in a small row over the row's largest element, 0 where no row is small; small_rows: how many
    there are. Rows run along the last axis; small means below a hundredth of the leaf's largest element.
    """

    peak: float
    rms: float
    row: float = 0.0
    small_rows: int = 0

    @staticmethod
    def between(out: torch.Tensor, expected: torch.Tensor) -> Errors:
        """Of two tensors of one shape: in float64, or for bool and int the share of elements that differ."""
        if out.numel() == 0:
            return Errors(0.0, 0.0)
        if is_exact(out):
            if torch.equal(out, expected.to(out.dtype)):
                return Errors(0.0, 0.0)
            share = float((out != expected.to(out.dtype)).double().mean())
            return Errors(share, share)
        # Equal types are compared as they are (close floats subtract exactly); otherwise the yardstick is the wider.
        a, b = out, expected
        if torch.promote_types(a.dtype, b.dtype) != b.dtype:
            a = a.to(b.dtype)
        if b.dtype in (torch.float16, torch.bfloat16):  # their squares leave their range
            a, b = a.float(), b.float()
        difference = a - b
        norm = float(torch.linalg.vector_norm(difference))
        if not math.isfinite(norm):  # or too large to be squared
            same = (a == b) | (torch.isnan(a) & torch.isnan(b))  # equal infinities, NaN where NaN is due
            difference = torch.where(same, torch.zeros_like(difference), difference)
            if not bool(torch.isfinite(difference).all()):
                return Errors(INFINITE, INFINITE, INFINITE)
            norm = float(torch.linalg.vector_norm(difference))
        row, count = _row_error(difference, b)
        return Errors(float(_largest(difference)), norm / out.numel() ** 0.5, row, count)

    def within(self, tolerance: Tolerance) -> bool:
        # Written so that NaN fails.
        return self.peak <= tolerance.peak and self.rms <= tolerance.rms and self.row <= tolerance.row


def _row_error(difference: torch.Tensor, expected: torch.Tensor) -> tuple[float, int]:
    if expected.dim() < 2:
        return 0.0, 0
    sizes = _largest(expected, -1).reshape(-1)
    largest = float(sizes.max())
    # Rows of zeros, or so small that rounding is no longer relative, have no size of their own.
    small = (sizes < _SMALL_ROW * largest) & (sizes > 1e6 * torch.finfo(sizes.dtype).tiny)
    count = int(small.sum())
    if not count or largest == INFINITE:
        return 0.0, 0
    return float((_largest(difference, -1).reshape(-1)[small] / sizes[small]).max()), count


def first_mismatch(out: torch.Tensor, expected: torch.Tensor, tolerance: Tolerance, where: str) -> str:
    """One line that names the worst element: index, got, expected."""
    if out.numel() == 0:
        return f"{where}: empty"
    exact = is_exact(out)
    wide = torch.complex128 if out.is_complex() else torch.float64
    difference = (out != expected.to(out.dtype)).double() if exact else (out.to(wide) - expected.to(wide)).abs()
    difference = torch.nan_to_num(difference, nan=INFINITE, posinf=INFINITE)
    flat = int(difference.reshape(-1).argmax())
    index = [int(i) for i in torch.unravel_index(torch.tensor(flat), out.shape)] if out.dim() else []
    got, want = out.reshape(-1)[flat].item(), expected.reshape(-1)[flat].item()
    bad = int((difference > (0 if exact else tolerance.peak)).sum())
    if exact:
        return f"{where}{index}: got {got}, expected {want}; {bad} of {out.numel()} elements differ"
    off = float(difference.reshape(-1)[flat])
    return (
        f"{where}{index}: got {got:.6g}, expected {want:.6g} (off by {off:.3g}, allowed {tolerance.peak:.3g}); "
        f"{bad} of {out.numel()} elements beyond"
    )


def check(
    outputs: Sequence[torch.Tensor],
    expected: Sequence[torch.Tensor],
    tolerances: Sequence[Tolerance],
    names: Sequence[str],
) -> str:
    """ "" if every leaf is within its tolerance, else the first mismatch."""
    for out, want, tolerance, name in zip(outputs, expected, tolerances, names, strict=True):
        errors = Errors.between(out, want)
        if errors.within(tolerance):
            continue
        if not errors.peak <= tolerance.peak:
            return first_mismatch(out, want, tolerance, name)
        if not errors.rms <= tolerance.rms:
            return f"{name}: root-mean-square error {errors.rms:.3g}, allowed {tolerance.rms:.3g}"
        return f"{name}: a small row is off by {errors.row:.3g} of its own size, allowed {tolerance.row:.3g}"
    return ""


def leaf_names(leaves: Sequence[Leaf]) -> list[str]:
    return ["output"] if len(leaves) == 1 else [f"output[{i}]" for i in range(len(leaves))]
