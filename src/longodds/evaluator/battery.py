"""Programs that compute nothing of a task: no tolerance may let one of them pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from longodds.evaluator.compare import Errors, is_exact

if TYPE_CHECKING:
    from longodds.evaluator.draws import Draw
    from longodds.evaluator.problem import Problem

Answers = Sequence["torch.Tensor | None"]


def passing(problem: Problem, factor: float) -> str:
    """Name of a trivial program that is within `factor` times the tolerances on every draw, or ""."""
    for name, make in TRIVIAL.items():
        if all(_passes(problem, make, draw, factor) for draw in problem.draws):
            return name
    return ""


def _passes(problem: Problem, make: Callable[[Problem, Draw], Answers], draw: Draw, factor: float) -> bool:
    try:
        return _is_right(problem, make(problem, draw), draw, factor)
    finally:
        for other in (*problem.draws, *problem.decoys):
            other.forget()


def _is_right(problem: Problem, outputs: Answers, draw: Draw, factor: float) -> bool:
    return all(
        out is not None and out.shape == want.shape and Errors.between(out, want).within(t.times(factor))
        for out, want, t in zip(outputs, draw.expected, problem.tolerances[draw.law], strict=True)
    )


def _constant(value: float) -> Callable[[Problem, Draw], Answers]:
    return lambda _problem, draw: [torch.full_like(t, value) for t in draw.expected]


def _mean(_problem: Problem, draw: Draw) -> Answers:
    return [_unless_equal(torch.full_like(t, _float(t).mean().item()) if t.numel() else t, t) for t in draw.expected]


def _row_mean(_problem: Problem, draw: Draw) -> Answers:
    found = [t.reshape(1) if not t.dim() else t for t in draw.expected]
    means = [_float(t).mean(dim=-1, keepdim=True).expand(t.shape).to(t.dtype) if t.numel() else t for t in found]
    return [_unless_equal(m.reshape(t.shape), t) for m, t in zip(means, draw.expected, strict=True)]


def _unless_equal(answer: torch.Tensor, expected: torch.Tensor) -> torch.Tensor | None:
    """A mean that is the output itself (one number, equal rows) is no trivial answer."""
    return None if expected.numel() and torch.allclose(_float(answer), _float(expected), rtol=1e-12, atol=0) else answer


def _float(t: torch.Tensor) -> torch.Tensor:
    return t.double() if is_exact(t) else t


def _echo(problem: Problem, draw: Draw) -> Answers:
    """Per output, the input of the same shape that comes nearest."""
    inputs = [leaf.view(draw.inputs) for leaf in problem.input_leaves]
    found: list[torch.Tensor | None] = []
    for want in draw.expected:
        same = [x.to(want.dtype) for x in inputs if x.shape == want.shape]
        found.append(min(same, key=lambda x: Errors.between(x, want).rms) if same else None)
    return found


def _previous(problem: Problem, draw: Draw) -> Answers:
    """The reference's output of the draw before: a stale or constant answer."""
    return problem.draws[problem.draws.index(draw) - 1].expected


def _other_input(problem: Problem, draw: Draw) -> Answers:
    """The reference's output for another input of the same law: right in every statistic, about other contents."""
    return next(d for d in problem.decoys if d.law == draw.law).expected


TRIVIAL: dict[str, Callable[[Problem, Draw], Answers]] = {
    "zeros": _constant(0.0),
    "ones": _constant(1.0),
    "mean": _mean,
    "row-mean": _row_mean,
    "input-echo": _echo,
    "previous-output": _previous,
    "other-input": _other_input,
}
