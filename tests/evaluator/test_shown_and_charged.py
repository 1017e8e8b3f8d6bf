"""What programs are shown, allowed and charged where it once was too little, too small or too much."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from longodds.evaluator import EvaluatorSettings, compare, open_evaluator, tree
from longodds.evaluator.controller import LocalEvaluator
from longodds.evaluator.problem import Problem
from longodds.evaluator.shim import settled
from longodds.evaluator.timing import allowed_of
from longodds.types import Status, Task, digest_text

HEAD = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n\n\n"
GATED = (
    "    def __init__(self):\n"
    "        super().__init__()\n"
    "        self.one, self.two = nn.Linear(32, 32), nn.Linear(32, 32)\n"
    "        self.gate = nn.Parameter(torch.ones(1))\n\n"
)


@pytest.fixture(scope="module")
def evaluator() -> Iterator[LocalEvaluator]:
    with open_evaluator(EvaluatorSettings(import_timeout_s=60, run_timeout_s=60)) as opened:
        yield opened


def program(forward: str, init: str = "", name: str = "Model") -> str:
    return f"{HEAD}class {name}(nn.Module):\n{init}    def forward(self, x):\n        {forward}\n"


def task(forward: str, inputs: str, init: str = "") -> Task:
    given = f"def get_inputs():\n    return [{inputs}]\n\n\ndef get_init_inputs():\n    return []\n"
    source = f"{program(forward, init)}\n\n{given}"
    return Task(f"shown/{digest_text(source)}", "shown", source, digest_text(source))


@pytest.mark.parametrize(
    ("right", "wrong", "inputs", "init"),
    [
        ("return x.amax(1)", "return x.amax(1).clamp(min=0)", "torch.rand(8, 64, 16)", ""),
        ("return x.amax(1)", "return x.amax(1).clamp(min=-1)", "torch.randn(8, 64, 16)", ""),
        ("return x.amax()", "return x.amax().clamp(min=0)", "torch.randn(64, 64)", ""),
        (
            "return x.argmax(1)",
            "return torch.cat([x[:, :1] * 0, x], 1).argmax(1).sub(1).clamp(min=0)",
            "torch.randn(32, 64)",
            "",
        ),
        ("return F.normalize(x, dim=1)", "return x / x.norm(dim=1, keepdim=True)", "torch.randn(8, 32, 16)", ""),
        (
            "return self.one(x) + F.relu(self.gate) * self.two(x).tanh()",
            "return self.one(x)",
            "torch.randn(64, 32)",
            GATED,
        ),
        ("return self.one(x) / self.gate", "return self.one(x)", "torch.randn(64, 32)", GATED),
    ],
)
def test_what_only_some_inputs_or_signs_show_is_shown(evaluator, right, wrong, inputs, init):
    made = task(right, inputs, init)
    same = evaluator.evaluate(made, program(right, init, "ModelNew"), timed=False)
    assert same.status is Status.CORRECT, same.message
    assert evaluator.evaluate(made, program(wrong, init, "ModelNew"), timed=False).status is Status.INCORRECT


def test_a_temperature_is_never_made_negative(evaluator):
    """Softmax with the maximum taken before the division is right for every temperature that there is."""
    made = task("return F.softmax(self.one(x) / self.gate, -1)", "torch.randn(64, 32)", GATED)
    honest = (
        "y = self.one(x); y = ((y - y.amax(-1, keepdim=True)) / self.gate).exp(); return y / y.sum(-1, keepdim=True)"
    )
    verdict = evaluator.evaluate(made, program(honest, GATED, "ModelNew"), timed=False)
    assert verdict.status is Status.CORRECT, verdict.message


def test_timed_calls_allow_for_outputs_larger_than_those_measured():
    """One odd element makes a sum of exponentials a thousand times what it was when the tolerance was measured."""
    refused = 0
    for secret in range(6):
        problem = Problem(task("return x.exp().sum(1)", "torch.randn(64, 1024)"), secret).load()
        measured = problem.tolerances["rare"][0]
        for number in range(150):
            block, law = problem.contents(number)
            if law != "rare":
                continue
            terms = tree.read(problem.config["inputs"], block.clone())[0].exp()
            want, got = terms.sum(1), terms[:, ::2].sum(1) + terms[:, 1::2].sum(1)
            refused += not compare.Errors.between(got, want).within(measured.times(2.0))
            allowed = allowed_of(measured, want)
            assert compare.Errors.between(got, want).within(allowed)
            assert not compare.Errors.between(want.bfloat16().float(), want).within(allowed)
    assert refused, "no draw was larger than those that the tolerance was measured on: this test shows nothing"


SLICED = "return torch.relu(x)[:, :-1]"


@pytest.mark.alone
def test_nobody_pays_for_the_copy_of_a_slice(evaluator):
    """A program that returns it contiguous does the same work: it is not faster for the copy that is read here."""
    made = task(SLICED, "torch.randn(1024, 1025)")
    same = evaluator.evaluate(made, program(SLICED, name="ModelNew"))
    assert same.status is Status.CORRECT and same.speedup == pytest.approx(1.0, abs=0.15)
    twice = evaluator.evaluate(
        made, program("return torch.relu(torch.relu(x) + 0)[:, :-1].contiguous()", name="ModelNew")
    )
    assert twice.status is Status.CORRECT and twice.speedup is not None and twice.speedup < 0.9


def test_strides_of_axes_of_one_element_say_nothing():
    leaf = tree.describe(torch.zeros(1, 8, 4), dense=True)[1][0]
    value = torch.zeros(8, 4).as_strided((1, 8, 4), (7, 4, 1))
    assert settled(value, leaf) is value
    assert settled(torch.zeros(1, 4, 8).transpose(1, 2), leaf).stride() == leaf.stride
