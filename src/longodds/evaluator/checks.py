"""One answer of a program against what is known: values, inputs left alone, memory of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from longodds.evaluator import compare
from longodds.evaluator.blocks import WORD
from longodds.evaluator.draws import Draw
from longodds.evaluator.frames import Frame
from longodds.evaluator.problem import Problem

if TYPE_CHECKING:
    from longodds.evaluator.sides import Side


class Wrong(Exception):
    """An output was not right: the message says where."""


def check_draw(
    problem: Problem, side: Side, draw: Draw, timeout_s: float, context: str = "", *, compile_s: float = 0.0
) -> float:
    """One call on a draw of some law, judged against the yardstick; returns the seconds until its answer.

    compile_s: what it may take while the program's compiler works.

    Also checks what it does to its input, and that the output does not live there unless the reference's does.
    Raises Wrong, ChildEnded and what Child.wait raises.
    """
    try:
        side.write(draw.inputs)
        frame, spent = side.call(timeout_s, compile_s=compile_s)
        outputs = side.outputs(frame)
        message = compare.check(outputs, draw.expected, problem.tolerances[draw.law], problem.names)
        if message:
            raise Wrong(f"{context}{message} (inputs: {draw.law})")
        check_left(problem, side, draw.inputs, draw.left, problem.left_tolerances[draw.law], context)
        check_memory(problem, side, draw.inputs, outputs, frame, context)
        return spent.wall / 1e9
    finally:
        draw.forget()


def check_left(
    problem: Problem,
    side: Side,
    contents: torch.Tensor,
    left: Sequence[torch.Tensor],
    tolerances: Sequence[compare.Tolerance],
    context: str,
    slot: int = 0,
) -> None:
    """The input in a slot is left as the reference leaves it: untouched, or changed to `left`. Raises Wrong."""
    block = side.slot(slot)
    if not contents.numel():
        return
    if not problem.mutates:
        if same_bytes(block, contents):
            return
        raise Wrong(f"{context}the program changes its input in place and the reference does not")
    rest, wanted = block.clone(), contents.clone()
    for other in (rest, wanted):
        for view in problem.left_in(other):
            view.zero_()
    if not same_bytes(rest, wanted):
        raise Wrong(f"{context}the program changes an input in place that the reference leaves alone")
    names = [f"input {i}, which the reference changes in place" for i in problem.mutated]
    message = compare.check(problem.left_in(block), left, tolerances, names)
    if message:
        raise Wrong(f"{context}{message}")


def check_memory(
    problem: Problem,
    side: Side,
    contents: torch.Tensor,
    outputs: list[torch.Tensor],
    frame: Frame,
    context: str,
    slot: int = 0,
) -> None:
    """The output does not live in the input's memory, unless the reference's does. Raises Wrong."""
    if problem.aliases or not contents.numel() or side.apart(frame):
        return
    before = [t.clone() for t in outputs]
    side.slot(slot).fill_(0xA5)
    if not all(same_bytes(a, b) for a, b in zip(before, side.outputs(frame), strict=True)):
        raise Wrong(f"{context}the output shares memory with an input and the reference's does not")


def same_bytes(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors of one type and shape hold the same bytes: NaN equals itself, and -0 is not 0."""
    a, b = (t.contiguous().view(-1).view(torch.uint8) for t in (a, b))
    if a.storage_offset() % WORD or b.storage_offset() % WORD:
        return torch.equal(a, b)
    whole = a.numel() // WORD * WORD  # eight bytes at a time take a tenth of the time
    words = a[:whole].view(torch.int64), b[:whole].view(torch.int64)
    return torch.equal(*words) and torch.equal(a[whole:], b[whole:])
