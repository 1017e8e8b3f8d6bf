"""Problem -> source text of a reference, and bodies that compute the same."""

from __future__ import annotations

import ast
import copy
import re
from dataclasses import dataclass
from random import Random

from scripts.corpus.check import Mismatch, check_pair
from scripts.corpus.problem import Problem
from scripts.corpus.render import extract, inline, render
from scripts.corpus.speeds import Speeds
from scripts.corpus.style import Restyle, Style, rename_locals
from scripts.corpus.target import in_place

from longodds.prompts import build_prompt, extract_program
from longodds.types import Task, digest_text

_BODY = "        "


@dataclass(frozen=True)
class Pair:
    """One row of the corpus: what the model reads and what it should write."""

    family: str
    idioms: tuple[str, ...]
    level: str  # fast, mixed (some idioms as in the reference) or same (the reference said again)
    reference: str
    prompt: str
    body: str
    sizes: dict[str, int]  # constants -> values small enough for a check


def write_pairs(problem: Problem, family: str, rng: Random, wanted: int, speeds: Speeds) -> list[Pair]:
    """Pairs of one problem: one reference, up to `wanted` different bodies that passed the check.

    Raises Mismatch when the reference is unfit or no body passes.
    """
    own = [rng.choice(s.idiom.refs) for s in problem.stages]
    reference = write_reference(problem, rng, own)
    small = shrunken(reference, problem)
    task = Task("corpus/x", "corpus", small, digest_text(small))
    bodies: dict[str, str] = {}
    failure: str | None = None
    for level, candidates in _bodies(problem, rng, wanted, speeds, own):
        for body in candidates:
            if body in bodies:
                break
            try:
                program = extract_program(f" {body.lstrip()}", task)
            except SyntaxError as e:
                raise Mismatch(f"body: {e}") from e
            failure = check_pair(small, [program], rng.randrange(1 << 30))[0]
            if failure is None:
                bodies[body] = level
                break
    if not bodies:
        raise Mismatch(f"no body passes: {failure}")
    prompt = build_prompt(Task("corpus/x", "corpus", reference, "")).text
    assert prompt is not None
    idioms = tuple(s.idiom.name for s in problem.stages)
    sizes = {d.name: d.small for d in problem.dims.values()}
    return [
        Pair(family, idioms, level, reference, prompt, f" {body.lstrip()}", sizes) for body, level in bodies.items()
    ]


# --- references ---------------------------------------------------------------------------------


def write_reference(problem: Problem, rng: Random, texts: list[str]) -> str:
    """The reference module in one author's style; texts: one of each idiom's ways to write it."""
    statements = render(problem, texts, rng, rng.choice((0.0, 0.5, 1.0)))
    share = rng.choice((0.0, 0.0, 0.3, 0.7, 1.0))
    statements = inline(statements, rng, share)
    statements = extract(statements, rng, rng.choice((0.0, 0.0, 0.0, 0.2, 0.5)) * (1 - share))
    restyle = Restyle(Style.draw(rng), rng, problem.taken, problem.inputs[0][0])
    statements = [ast.fix_missing_locations(restyle.visit(s)) for s in statements]
    reuse = rng.choice((0.0, 0.0, 0.3, 1.0))
    statements = rename_locals(statements, rng, problem.taken, reuse, problem.inputs[0][0])
    init = [*problem.init_lines, *(f"self.{a} = {text}" for a, text in restyle.modules.items())]
    return _module(problem, statements, init, rng)


def _module(problem: Problem, statements: list[ast.stmt], init: list[str], rng: Random) -> str:
    """The whole reference module, sizes as constants."""
    args = list(problem.inputs)
    signature = [a for a, _ in args]
    texts = dict(args)
    if rng.random() < 0.35:
        rng.shuffle(signature)
    lines = [f"{d.name} = {d.real}" for d in problem.dims.values()]
    lines += [f"{name} = {value}" for name, value in problem.constants.items()]
    lines += ["", "class Model(nn.Module):"]
    if init or problem.init_args or rng.random() < 0.5:
        required = [n for n, default, _ in problem.init_args if default is None]
        optional = [f"{n}={default}" for n, default, _ in problem.init_args if default is not None]
        lines += [f"    def __init__({', '.join(['self', *required, *optional])}):", "        super().__init__()"]
        lines += [f"        {line}" for line in init]
    lines.append(f"    def forward(self, {', '.join(signature)}):")
    lines += [f"        {line}" for s in statements for line in ast.unparse(s).splitlines()]
    given = [v for _, default, v in problem.init_args if default is None]
    given += [v for _, default, v in problem.init_args if default is not None]
    lines += ["", "def get_inputs():"]
    if rng.random() < 0.35 and len(signature) > 1:
        lines += [f"    {a} = {texts[a]}" for a in signature]
        lines.append(f"    return [{', '.join(signature)}]")
    else:
        lines.append(f"    return [{', '.join(texts[a] for a in signature)}]")
    lines += ["", "def get_init_inputs():", f"    return [{', '.join(given)}]"]
    head = ["import math", "import torch", "import torch.nn as nn", "import torch.nn.functional as F", ""]
    return "\n".join([*head, *lines]) + "\n"


def shrunken(source: str, problem: Problem) -> str:
    """The module with the sizes of the check."""
    for dim in problem.dims.values():
        source = re.sub(rf"^{dim.name} = \d+$", f"{dim.name} = {dim.small}", source, flags=re.MULTILINE)
    return source


# --- bodies --------------------------------------------------------------------------------------


def _bodies(problem: Problem, rng: Random, wanted: int, speeds: Speeds, own: list[str]) -> list[tuple[str, list[str]]]:
    """(level, variants from daring to safe), the fastest first."""
    ranked = [speeds.rank(s.idiom, text) for s, text in zip(problem.stages, own, strict=True)]
    plans: list[tuple[str, list[str]]] = [("fast", [speeds.pick(r, rng, 6.0) for r in ranked])]
    for _ in range(wanted - 1):
        roll = rng.random()
        if roll < 0.65:
            plans.append(("fast", [speeds.pick(r, rng, 3.0) for r in ranked]))
        elif roll < 0.9:
            plans.append(("mixed", [speeds.pick(r, rng, 1.0) for r in ranked]))
        else:
            plans.append(("same", own))
    found: list[tuple[str, list[str]]] = []
    for level, texts in plans:
        statements = render(problem, texts)
        statements = inline(statements, rng, rng.choice((0.5, 1.0, 1.0)))
        variants = [finish_body(statements, problem, rng)]
        if rng.random() < (0.3 if level == "same" else 0.9):
            some = finish_body(in_place(statements, rng, 0.6), problem, rng)
            variants = [finish_body(in_place(statements, rng), problem, rng), some, *variants]
        found.append((level, variants))
    return found


def finish_body(statements: list[ast.stmt], problem: Problem, rng: Random) -> str:
    copies = [copy.deepcopy(s) for s in statements]
    named = rename_locals(copies, rng, problem.taken, 0.5, None, plain=True)
    lines = [line for s in named for line in ast.unparse(s).splitlines()]
    return "\n".join(f"{_BODY}{line}" for line in lines).lstrip()
