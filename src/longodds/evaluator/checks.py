"""One answer of a program against what is known: values, inputs left alone, memory of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from longodds.evaluator import compare
from longodds.evaluator.frames import Frame
from longodds.evaluator.problem import Draw, Problem

if TYPE_CHECKING:
    from longodds.evaluator.timing import Side


class Wrong(Exception):
    """An output was not right: the message says where."""


def check_draw(problem: Problem, side: Side, draw: Draw, timeout_s: float, context: str = "") -> float:
    """One call on a draw of some law, judged against the yardstick; returns the call's nanoseconds.

    Also checks that the input is left alone and that the output does not live in it, unless the reference does so.
    Raises Wrong, ChildEnded and what Child.wait raises.
    """
    side.write(draw.inputs)
    frame, _wall = side.call(timeout_s)
    outputs = side.outputs(frame)
    message = compare.check(outputs, draw.expected, problem.tolerances[draw.law], problem.names)
    if message:
        raise Wrong(f"{context}{message} (inputs: {draw.law})")
    check_hygiene(problem, side, draw.inputs, outputs, frame, context)
    return float(frame.value)


def check_hygiene(
    problem: Problem, side: Side, contents: torch.Tensor, outputs: list[torch.Tensor], frame: Frame, context: str
) -> None:
    """The input is left alone and the output does not live in it, unless the reference does so. Raises Wrong."""
    block = side.child.inputs.block
    if not contents.numel():
        return
    if not problem.mutates and not torch.equal(block, contents):
        raise Wrong(f"{context}the program changes its input in place and the reference does not")
    if not problem.aliases:
        before = [t.clone() for t in outputs]
        block.fill_(0xA5)
        if not all(_same_bytes(a, b) for a, b in zip(before, side.outputs(frame), strict=True)):
            raise Wrong(f"{context}the output shares memory with an input and the reference's does not")


def _same_bytes(a: torch.Tensor, b: torch.Tensor) -> bool:
    return bool(torch.equal(a.contiguous().view(-1).view(torch.uint8), b.contiguous().view(-1).view(torch.uint8)))
