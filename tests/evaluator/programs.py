"""Programs to judge, made from the bundled problems, and a bench that measures them the way the oracle does.

A `Bench` holds one task under one secret: it runs a program in this process on every draw of every law, in float32
(how many tolerances is it off?) and in float64 (is it the same function at all?).
"""

from __future__ import annotations

import ast
import sys
import types
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from longodds.evaluator import delivery, tree
from longodds.evaluator.compare import Errors
from longodds.evaluator.problem import Problem
from longodds.tasks import load_suite
from longodds.types import Task

GOLDS = Path(__file__).parents[1] / "golds"


@dataclass(frozen=True, slots=True)
class Variant:
    """A program of a task. kind: what was done to it; base: `reference` or `gold`."""

    task: str
    base: str
    kind: str
    program: str

    @property
    def name(self) -> str:
        return f"{self.task}:{self.base}:{self.kind}"


@cache
def tasks() -> dict[str, Task]:
    """Bundled tasks by name."""
    return {task.metadata["name"]: task for task in load_suite("cpu")}


@cache
def bases(name: str) -> dict[str, str]:
    """The right programs that everything else is made from: the reference itself and, where there is one, the gold."""
    found = {"reference": _as_program(tasks()[name].reference)}
    gold = GOLDS / f"{name}.py"
    if gold.exists():
        found["gold"] = ast.unparse(ast.parse(gold.read_text(encoding="utf-8")))
    return found


def _as_program(reference: str) -> str:
    """A problem file without what only the problem needs; `Model` becomes `ModelNew`."""
    module = ast.parse(reference)
    module.body = [n for n in module.body if not (isinstance(n, ast.FunctionDef) and n.name.startswith("get_"))]
    entry_class(module, "Model").name = "ModelNew"
    return ast.unparse(module)


def entry_class(module: ast.Module, name: str = "ModelNew") -> ast.ClassDef:
    return next(n for n in module.body if isinstance(n, ast.ClassDef) and n.name == name)


def method(cls: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    return next((n for n in cls.body if isinstance(n, ast.FunctionDef) and n.name == name), None)


class _WideWeights(delivery.Weights):
    """Delivers whatever the type: for building a program in float64."""

    def __init__(self, spec: list[dict[str, Any]], block: torch.Tensor) -> None:
        super().__init__(spec, block)
        self.tensors = {n: t.double() if t.is_floating_point() else t for n, t in self.tensors.items()}

    def _copy(self, name: str, tensor: torch.Tensor) -> None:
        source = self.tensors.get(name)
        if source is not None and source.shape == tensor.shape:
            with torch.no_grad():
                tensor.copy_(source)


class Bench:
    """One task under one secret. Not for several threads; leaves grad mode off."""

    def __init__(self, name: str, secret: int) -> None:
        self.name = name
        self.problem = Problem(tasks()[name], secret).load()
        self.spec = self.problem.config["inputs"]

    def build(self, program: str, *, wide: bool = False) -> torch.nn.Module:
        """The program's module with the evaluator's weights. Raises what the program raises."""
        module = types.ModuleType("program")
        sys.modules["program"] = module
        exec(compile(program, "<program>", "exec"), module.__dict__)
        config = self.problem.config
        weights = (_WideWeights if wide else delivery.Weights)(config["weights"], self.problem.state)
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64 if wide else torch.float32)
        try:
            model = weights.build(module.__dict__["ModelNew"], list(tree.read(config["init"], self.problem.state)))
            if wide:
                model.double()
            missing = weights.load(model, config["optional_weights"])
        finally:
            torch.set_default_dtype(before)
        if missing:
            raise ValueError(f"no place for weights {missing}")
        return model

    def _call(self, model: torch.nn.Module, draw: Any, *, wide: bool) -> list[Any]:
        inputs = tree.read(self.spec, draw.inputs.clone())
        before = torch.get_default_dtype()
        if wide:
            inputs = tree.map_tensors(inputs, lambda t: t.double() if t.is_floating_point() else t)
            torch.set_default_dtype(torch.float64)
        try:
            out = model(*inputs)
        finally:
            torch.set_default_dtype(before)
        wrong = "" if wide else tree.mismatch(self.problem.output_spec, out)
        if wrong:
            raise ValueError(wrong)
        return tree.values(out)

    def margins(self, program: str, *, enough: float = float("inf")) -> dict[str, float]:
        """Law -> error over tolerance, the worst of draws, leaves, peak and root mean square; CORRECT is <= 1.

        Stops at the first law that exceeds `enough`.
        """
        worst: dict[str, float] = {}
        model = self.build(program)
        for draw in self.problem.draws:
            leaves = self._call(model, draw, wide=False)
            tolerances = self.problem.tolerances[draw.law]
            for out, want, tolerance in zip(leaves, draw.expected, tolerances, strict=True):
                errors = Errors.between(torch.as_tensor(out), want)
                ratio = max(_ratio(errors.peak, tolerance.peak), _ratio(errors.rms, tolerance.rms))
                worst[draw.law] = max(worst.get(draw.law, 0.0), ratio)
            if worst.get(draw.law, 0.0) > enough:
                break
        return worst

    def gap(self, program: str, *, wide: bool = True, enough: float = float("inf")) -> float:
        """Largest difference from the reference over the output's scale, over draws and leaves, both in float64 (wide)
        or both in float32; infinite if a shape, an exact value or a NaN differs. Stops beyond `enough`."""
        model = self.build(program, wide=wide)
        reference = None if wide else self.build(bases(self.name)["reference"])
        worst = 0.0
        for draw in self.problem.draws:
            expected = self._call(reference, draw, wide=False) if reference else draw.expected
            for out, want in zip(self._call(model, draw, wide=wide), map(torch.as_tensor, expected), strict=True):
                value = torch.as_tensor(out)
                if value.shape != want.shape:
                    return float("inf")
                scale = float(want.abs().max()) if want.numel() and want.is_floating_point() else 1.0
                worst = max(worst, _ratio(Errors.between(value, want).peak, scale))
            if worst > enough:
                break
        return worst


def _ratio(a: float, b: float) -> float:
    return a / b if b > 0 else 0.0 if a == 0 else float("inf")
