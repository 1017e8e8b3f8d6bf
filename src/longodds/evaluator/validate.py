"""Is a task fit to judge by? It runs, repeats, accepts itself and its gold program, and rejects trivial programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from longodds.errors import UserError
from longodds.evaluator.controller import LocalEvaluator, unchanged
from longodds.types import Status, Task, Verdict

_HELPERS = """

def _each(value, change):
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, (list, tuple)):
        return type(value)(_each(item, change) for item in value)
    if isinstance(value, dict):
        return {key: _each(item, change) for key, item in value.items()}
    return value

"""
_TRIVIAL_FORWARD = {
    "zeros": "return _each(super().forward(*inputs), torch.zeros_like)",
    "ones": "return _each(super().forward(*inputs), torch.ones_like)",
    "mean": (  # of a single number it would be the answer
        "def mean(t):\n"
        "            number = t if t.is_floating_point() else t.double()\n"
        "            return torch.full_like(t, number.mean().item() if t.numel() > 1 else 0)\n"
        "        return _each(super().forward(*inputs), mean)"
    ),
    "input-echo": (
        "tensors = [x for x in inputs if isinstance(x, torch.Tensor)]\n"
        "        def echo(t):\n"
        "            same = [x for x in tensors if x.shape == t.shape]\n"
        "            return same[0].to(t.dtype, copy=True) if same else torch.zeros_like(t)\n"
        "        return _each(super().forward(*inputs), echo)"
    ),
    "previous-output": (
        "out = _each(super().forward(*inputs), torch.clone)\n"
        "        previous = getattr(self, '_previous', None)\n"
        "        object.__setattr__(self, '_previous', out)\n"
        "        return _each(out, torch.zeros_like) if previous is None else previous"
    ),
}


def trivial_programs(task: Task) -> dict[str, str]:
    """Name -> program that computes nothing of the task. They must be INCORRECT."""
    return {
        name: f"{task.reference}\nimport torch\n{_HELPERS}\nclass ModelNew(Model):\n"
        f"    def forward(self, *inputs):\n        {body}\n"
        for name, body in _TRIVIAL_FORWARD.items()
    }


@dataclass(frozen=True, slots=True)
class TaskReport:
    """problems: what is wrong, empty if the task is fit; laws: input laws in use; dropped: law -> why not; own: the
    verdict on the unchanged reference; floor_us: on a GPU, microseconds below which no program's call is believed."""

    task_id: str
    problems: tuple[str, ...]
    labels: tuple[str, ...] = ()
    laws: tuple[str, ...] = ()
    dropped: dict[str, str] | None = None
    own: Verdict | None = None
    gold: Verdict | None = None
    prepare_s: float = 0.0
    floor_us: float | None = None

    @property
    def reference_us(self) -> float | None:
        return None if self.own is None else self.own.reference_us

    @property
    def ok(self) -> bool:
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        verdicts = {"own": self.own.to_json() if self.own else None, "gold": self.gold.to_json() if self.gold else None}
        return {**asdict(self), "ok": self.ok, "reference_us": self.reference_us, **verdicts}


def validate_task(evaluator: LocalEvaluator, task: Task, gold: str | None = None, *, timed: bool = True) -> TaskReport:
    """Judge a task itself. `gold`: source of a program known to be right and, if `timed`, faster."""
    try:
        about = evaluator.describe(task)
    except UserError as error:
        return TaskReport(task.id, (str(error),))
    problems = [label for label in about["labels"] if label.startswith("degenerate")]
    own = evaluator.evaluate(task, unchanged(task), timed=timed)
    if own.status is not Status.CORRECT:
        problems.append(f"rejects its own reference: {own.status}: {own.message}")
    for name, program in trivial_programs(task).items():
        verdict = evaluator.evaluate(task, program, timed=False)
        if verdict.status is not Status.INCORRECT:
            problems.append(f"a program that returns {name} is {verdict.status}: {verdict.message}".rstrip(": "))
    gold_verdict = evaluator.evaluate(task, gold, timed=timed) if gold is not None else None
    if gold_verdict is not None:
        if gold_verdict.status is not Status.CORRECT:
            problems.append(f"rejects its gold program: {gold_verdict.status}: {gold_verdict.message}")
        elif timed and not (gold_verdict.ci_low or 0.0) > 1.0:
            low, speedup = gold_verdict.ci_low or 0.0, gold_verdict.speedup or 0.0
            problems.append(f"the gold program is not shown to be faster: {speedup:.2f} (from {low:.2f})")
    return TaskReport(
        task.id,
        tuple(problems),
        tuple(about["labels"]),
        tuple(about["laws"]),
        about["dropped"],
        own,
        gold_verdict,
        about["prepare_s"],
        about["floor_us"],
    )
