"""Is an output right? Error against a yardstick, judged by tolerances that were measured, not chosen.

A tolerance bounds the largest and the root-mean-square error of one output leaf under one law. Both are small
multiples of what the reference itself errs (docs/evaluation.md), so an honest reordering passes and half precision,
which errs some thousand times more, does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from longodds.evaluator.tree import Leaf


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Absolute bounds for one floating leaf: `peak` on the largest error, `rms` on the root mean square."""

    peak: float
    rms: float

    def times(self, factor: float) -> Tolerance:
        return Tolerance(self.peak * factor, self.rms * factor)


@dataclass(frozen=True, slots=True)
class Errors:
    """Largest and root-mean-square difference of a leaf (infinite where NaN or infinities do not match)."""

    peak: float
    rms: float

    @staticmethod
    def between(out: torch.Tensor, expected: torch.Tensor) -> Errors:
        """Of two tensors of one shape, in float64 (or exact for bool and int: 0 or infinite)."""
        if out.numel() == 0:
            return Errors(0.0, 0.0)
        if not (out.is_floating_point() or out.is_complex()):
            return (
                Errors(0.0, 0.0)
                if bool(torch.equal(out, expected.to(out.dtype)))
                else Errors(float("inf"), float("inf"))
            )
        # Equal types are compared as they are (close floats subtract exactly); otherwise the yardstick is the wider.
        a, b = (out, expected) if out.dtype == expected.dtype else (out.to(expected.dtype), expected)
        difference = (a - b).abs()
        if not bool(torch.isfinite(difference.sum())):
            same = (a == b) | (torch.isnan(a) & torch.isnan(b))  # equal infinities, NaN where NaN is due
            difference = torch.where(same, torch.zeros_like(difference), difference)
            if not bool(torch.isfinite(difference).all()):
                return Errors(float("inf"), float("inf"))
        return Errors(float(difference.max()), float(torch.linalg.vector_norm(difference)) / out.numel() ** 0.5)

    def within(self, tolerance: Tolerance) -> bool:
        # Written so that NaN fails.
        return self.peak <= tolerance.peak and self.rms <= tolerance.rms


def first_mismatch(out: torch.Tensor, expected: torch.Tensor, tolerance: Tolerance, where: str) -> str:
    """One line that names the worst element: index, got, expected."""
    if out.numel() == 0:
        return f"{where}: empty"
    exact = not (out.is_floating_point() or out.is_complex())
    difference = (out != expected.to(out.dtype)).double() if exact else (out.double() - expected.double()).abs()
    difference = torch.nan_to_num(difference, nan=float("inf"), posinf=float("inf"))
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
        if not errors.within(tolerance):
            if errors.peak <= tolerance.peak:
                return f"{name}: root-mean-square error {errors.rms:.3g}, allowed {tolerance.rms:.3g}"
            return first_mismatch(out, want, tolerance, name)
    return ""


def leaf_names(leaves: Sequence[Leaf]) -> list[str]:
    return ["output"] if len(leaves) == 1 else [f"output[{i}]" for i in range(len(leaves))]
