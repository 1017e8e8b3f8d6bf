"""Weights reach a program before it derives anything from them, also in modules inside others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from test_task_shapes import Shape, forward

from longodds.evaluator import EvaluatorSettings, open_evaluator, unchanged
from longodds.evaluator.controller import LocalEvaluator
from longodds.types import Status

NESTED = """
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(32, 32)
        {packs}

    def forward(self, x):
        return {call}


"""
PACKED = NESTED.format(
    packs="self.packed = self.l.weight.detach().t().contiguous()", call="x @ self.packed + self.l.bias"
)


@pytest.fixture(scope="module")
def evaluator() -> Iterator[LocalEvaluator]:
    with open_evaluator(EvaluatorSettings(import_timeout_s=30, run_timeout_s=20)) as opened:
        yield opened


@pytest.mark.parametrize("made", ["nn.Sequential(Block(), Block())", "nn.ModuleList([Block()])", "nn.ModuleList()"])
def test_what_inner_modules_derive_is_derived_from_the_weights_delivered(evaluator: LocalEvaluator, made: str) -> None:
    more = "self.blocks.append(Block())" if made == "nn.ModuleList()" else ""
    body = forward(
        "for block in self.blocks:\n    x = torch.relu(block(x))\nreturn x", init=f"self.blocks = {made}\n{more}"
    )
    head = NESTED.format(packs="", call="self.l(x)")
    task = Shape(body, "[torch.randn(48, 32)]", (), head=head).task("nested")
    program = unchanged(task).replace(head, PACKED)
    assert "packed" in program
    verdict = evaluator.evaluate(task, program, timed=False)
    assert verdict.status is Status.CORRECT, verdict.message
