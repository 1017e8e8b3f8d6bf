"""Real programs through the real evaluator: each gets the right status, and the next one is unharmed."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from longodds.errors import UserError
from longodds.evaluator import EvaluatorSettings, doctor_layers, open_evaluator, trivial_programs, unchanged
from longodds.evaluator.controller import LocalEvaluator
from longodds.types import Status, Task, digest_text

REFERENCE = """
import torch
import torch.nn as nn

class Model(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.mix = nn.Linear(width, width)
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x):
        y = self.mix(x)
        return torch.relu(y) * self.scale

def get_inputs():
    return [torch.rand(192, 384)]

def get_init_inputs():
    return [384]
"""
HEAD = """
import torch
import torch.nn as nn

class ModelNew(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.mix = nn.Linear(width, width)
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x):
"""
RIGHT = HEAD + "        return torch.relu(self.mix(x)) * self.scale\n"


def task_of(source: str, name: str = "test/mix") -> Task:
    return Task(name, "test", source, digest_text(source))


TASK = task_of(REFERENCE)


@pytest.fixture(scope="module")
def evaluator() -> Iterator[LocalEvaluator]:
    settings = EvaluatorSettings(import_timeout_s=20, run_timeout_s=4, memory_bytes=3 << 29, max_pairs=16)
    with open_evaluator(settings) as opened:
        yield opened


BAD = {
    "wrong": (HEAD + "        return torch.relu(self.mix(x)) * self.scale + 1e-3\n", {Status.INCORRECT}),
    "drops a parameter at its initial value": (HEAD + "        return torch.relu(self.mix(x))\n", {Status.INCORRECT}),
    "drops the relu that rand would not need": (HEAD + "        return self.mix(x) * self.scale\n", {Status.INCORRECT}),
    "half precision": (
        HEAD + "        y = torch.nn.functional.linear(x.half(), self.mix.weight.half(), self.mix.bias.half())\n"
        "        return torch.relu(y.float()) * self.scale\n",
        {Status.INCORRECT},
    ),
    "wrong shape": (HEAD + "        return (torch.relu(self.mix(x)) * self.scale).sum(0)\n", {Status.INCORRECT}),
    "wrong container": (HEAD + "        return (torch.relu(self.mix(x)) * self.scale,)\n", {Status.INCORRECT}),
    "nan": (HEAD + "        return torch.relu(self.mix(x)) * float('nan')\n", {Status.INCORRECT}),
    "changes its input": (
        HEAD + "        y = torch.relu(self.mix(x)) * self.scale\n        x.zero_()\n        return y\n",
        {Status.INCORRECT},
    ),
    "answers from its input's memory": (
        HEAD + "        y = torch.relu(self.mix(x)) * self.scale\n        return x.copy_(y)\n",
        {Status.INCORRECT},
    ),
    "no place for the weights": (
        RIGHT.replace("self.mix", "self.other").replace(
            "nn.Linear(width, width)", "nn.Linear(width, width, bias=False)"
        ),
        {Status.INCORRECT},
    ),
    "raises": (HEAD + "        raise ValueError('no')\n", {Status.RUNTIME_ERROR}),
    "raises at import": ("raise ValueError('no')\n", {Status.RUNTIME_ERROR}),
    "exits with 0": (HEAD + "        import os\n        os._exit(0)\n", {Status.RUNTIME_ERROR}),
    "exits at import": ("import os\nos._exit(0)\n", {Status.RUNTIME_ERROR}),
    "leaves by SystemExit": (HEAD + "        raise SystemExit(0)\n", {Status.RUNTIME_ERROR}),
    "loops forever": (HEAD + "        while True:\n            pass\n", {Status.TIMEOUT}),
    "allocates without bound": (
        HEAD + "        kept = []\n        while True:\n            kept.append(torch.ones(1 << 27))\n",
        {Status.RUNTIME_ERROR},
    ),
    "is not Python": ("def forward(:\n", {Status.COMPILE_ERROR}),
    "is bytes": ("\x00\x01", {Status.COMPILE_ERROR}),
    "is empty": ("", {Status.COMPILE_ERROR}),
    "has no ModelNew": ("x = 1\n", {Status.COMPILE_ERROR}),
    "crashes": (HEAD + "        import ctypes\n        ctypes.string_at(0)\n", {Status.RUNTIME_ERROR}),
}


@pytest.mark.parametrize("name", list(BAD))
def test_a_bad_program_gets_its_status_and_the_next_is_unharmed(evaluator: LocalEvaluator, name: str) -> None:
    program, expected = BAD[name]
    start = time.monotonic()
    verdict = evaluator.evaluate(TASK, program, timed=False)
    assert verdict.status in expected, verdict.message
    assert verdict.message
    assert time.monotonic() - start < 60
    assert evaluator.evaluate(TASK, RIGHT, timed=False).status is Status.CORRECT


def test_printing_a_lot_is_no_crime(evaluator: LocalEvaluator) -> None:
    noisy = HEAD.replace(
        "import torch\n", "import sys, torch\nsys.stderr.write('x' * 50_000_000)\nprint('x' * 100_000_000)\n", 1
    )
    verdict = evaluator.evaluate(TASK, noisy + "        return torch.relu(self.mix(x)) * self.scale\n", timed=False)
    assert verdict.status is Status.CORRECT, verdict.message


RIGHT_WAYS = {
    "the reference itself": unchanged(TASK),
    "other names, unique shapes": RIGHT.replace("self.mix", "self.dense").replace("self.scale", "self.gain"),
    "derived in __init__": RIGHT.replace(
        "self.scale = nn.Parameter(torch.ones(width))\n",
        "self.scale = nn.Parameter(torch.ones(width))\n        self.wt = self.mix.weight.t().contiguous()\n",
    ).replace("self.mix(x)", "torch.addmm(self.mix.bias, x, self.wt)"),
    "load_reference": """
import torch
import torch.nn as nn

class ModelNew(nn.Module):
    def __init__(self, width):
        super().__init__()

    def load_reference(self, state):
        self.w = state["mix.weight"].t().contiguous()
        self.b, self.s = state["mix.bias"], state["scale"]

    def forward(self, x):
        return torch.addmm(self.b, x, self.w).relu_() * self.s
""",
    "transposed memory": HEAD + "        return (torch.relu(self.mix(x)) * self.scale).t().contiguous().t()\n",
    "double inside": HEAD
    + "        y = nn.functional.linear(x.double(), self.mix.weight.double(), self.mix.bias.double())\n"
    "        return (torch.relu(y) * self.scale).float()\n",
}


@pytest.mark.parametrize("name", list(RIGHT_WAYS))
def test_honest_ways_are_correct(evaluator: LocalEvaluator, name: str) -> None:
    verdict = evaluator.evaluate(TASK, RIGHT_WAYS[name], timed=False)
    assert verdict.status is Status.CORRECT, verdict.message


def test_trivial_programs_are_incorrect(evaluator: LocalEvaluator) -> None:
    for name, program in trivial_programs(TASK).items():
        assert evaluator.evaluate(TASK, program, timed=False).status is Status.INCORRECT, name


def test_twice_the_work_is_seen_and_half_the_work_too(evaluator: LocalEvaluator) -> None:
    double = HEAD + "        self.mix(x)\n        self.mix(x)\n        return torch.relu(self.mix(x)) * self.scale\n"
    slower = evaluator.evaluate(TASK, double)
    assert slower.status is Status.CORRECT
    assert slower.speedup is not None
    assert slower.speedup < 0.7
    heavy = REFERENCE.replace("        return torch", "        self.mix(x)\n        self.mix(x)\n        return torch")
    faster = evaluator.evaluate(task_of(heavy, "test/heavy"), RIGHT)
    assert faster.status is Status.CORRECT
    assert faster.speedup is not None
    assert faster.speedup > 1.4
    assert faster.pairs >= 16


def test_a_verdict_says_what_it_rests_on(evaluator: LocalEvaluator) -> None:
    verdict = evaluator.evaluate(TASK, RIGHT)
    assert verdict.evaluator == evaluator.digest
    assert verdict.isolation == doctor_layers()
    assert "uncalibrated" in verdict.labels
    assert verdict.ci_low is not None
    assert verdict.ci_high is not None
    assert verdict.speedup is not None
    assert verdict.ci_low <= verdict.speedup <= verdict.ci_high
    assert verdict.reference_us is not None
    assert verdict.low_for(16) is None or verdict.low_for(16) <= verdict.ci_low


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("def get_inputs():\n    return []\n", "Model"),
        (REFERENCE.replace("torch.rand(192, 384)", "1 / 0"), "get_inputs"),
        (REFERENCE.replace("torch.relu(y)", "torch.nn.functional.dropout(y)"), "stochastic"),
        (REFERENCE.replace("return torch.relu(y) * self.scale", "return None"), "outputs"),
    ],
)
def test_a_task_that_can_not_be_judged_is_the_callers_mistake(
    evaluator: LocalEvaluator, source: str, word: str
) -> None:
    with pytest.raises(UserError, match=word):
        evaluator.evaluate(task_of(source, "test/bad"), RIGHT)
    assert evaluator.evaluate(TASK, RIGHT, timed=False).status is Status.CORRECT


def test_equal_programs_run_once(evaluator: LocalEvaluator) -> None:
    found = dict(evaluator.evaluate_many(TASK, [RIGHT, "def", RIGHT], timed=False))
    assert found[0] is found[2]
    assert found[1].status is Status.COMPILE_ERROR


def test_nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(tempfile.mkdtemp(prefix="left-"))
    folder.chmod(0o711)
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    orphans, files = _orphans(), len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with open_evaluator(EvaluatorSettings(run_timeout_s=2, max_pairs=16)) as opened:
        opened.evaluate(TASK, RIGHT)
        opened.evaluate(TASK, BAD["loops forever"][0])
        opened.evaluate(TASK, HEAD + "        import os\n        os.fork()\n        return x\n", timed=False)
        assert any(folder.iterdir())
    deadline = time.monotonic() + 20
    while (any(folder.iterdir()) or _orphans() - orphans) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(folder.iterdir())
    assert not _orphans() - orphans
    assert len(os.listdir("/proc/self/fd")) == files  # noqa: PTH208
    folder.rmdir()


def _orphans() -> set[str]:
    """Evaluator processes that have lost their parent."""
    found: set[str] = set()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and b"longodds.evaluator" in (entry / "cmdline").read_bytes():
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                if parent == "1":
                    found.add(entry.name)
        except OSError:
            continue
    return found


@pytest.mark.parametrize("spread", ["NaN", "Infinity", "-0.01", '"x"', "null", None])
def test_a_broken_calibration_file_is_named(tmp_path: Path, spread: str | None) -> None:
    path = tmp_path / "calibration.json"
    path.write_text("{}" if spread is None else f'{{"between_process_sd": {spread}}}')
    with pytest.raises(UserError, match=r"calibration\.json"):
        open_evaluator(EvaluatorSettings(calibration=path))
