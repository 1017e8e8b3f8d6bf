"""Compose idioms into problems: an idiom of a family at the core, others before and after it."""

from __future__ import annotations

from random import Random

from scripts.corpus.derive import derived
from scripts.corpus.holes import fill_hole, input_text
from scripts.corpus.problem import Problem, Stage
from scripts.corpus.template import FAMILIES, Idiom, load_idioms, shape_letters

_RANK_SHAPES = {1: ["n"], 2: ["B", "C"], 3: ["B", "N", "C"], 4: ["B", "C", "H", "W"]}


class Grammar:
    """All idioms, ready to be drawn."""

    def __init__(self) -> None:
        self.families: dict[str, list[Idiom]] = {f: derived(load_idioms(f)) for f in FAMILIES}
        self.pointwise = [i for i in self.families["elementwise"] if i.x in ("*", "*C") and i.out == "*"]
        self.after = [
            *((i, 0.35) for i in self.pointwise),
            *((i, 1.0) for i in self.families["reductions"] if i.x in ("*", "*C", "BC") and i.post),
            *((i, 0.8) for i in self.families["norms"] if i.x in ("*", "*C", "BC") and i.pre),
            *((i, 0.6) for i in self.families["softmax"] if i.x in ("*", "*C") and i.pre),
        ]
        self.ending = [i for f in ("reductions", "losses") for i in self.families[f] if i.out == "-" and i.pre]

    def draw(self, rng: Random, family: str) -> Problem:
        """A problem whose core idiom belongs to `family`. ValueError when parts don't fit; draw again."""
        core = _choose(rng, self.families[family])
        problem = Problem(rng)
        problem.families = {family}
        self.start(problem, core)
        if family == "elementwise":
            before, after = rng.choice((0, 1, 1, 2, 2, 3)), rng.choice((0, 0, 1, 1, 2))
        else:
            before, after = rng.choice((0, 0, 0, 1, 1, 2)), rng.choice((0, 0, 1, 1, 1, 2, 3))
        if core.pre and core.law == "any":
            for _ in range(before):
                self.add(problem, _choose(rng, self.pointwise))
        self.add(problem, core)
        for _ in range(after if core.post and core.out not in ("-",) else 0):
            if not problem.shape:
                break
            if rng.random() < 0.55 or family == "elementwise":
                idiom = _choose(rng, self.pointwise)
            else:
                idiom = rng.choices([i for i, _ in self.after], [w * i.weight for i, w in self.after])[0]
            if not self._fits(problem, idiom):
                continue
            self.add(problem, idiom)
            if not idiom.post:
                break
        return problem

    def start(self, problem: Problem, core: Idiom) -> None:
        """Decide the shape of X and make it the first argument (not always the first one written)."""
        rng = problem.rng
        letters = shape_letters(core.x)
        if "*" in letters:
            rank = rng.choices((1, 2, 3, 4), (1, 7, 2, 1) if core.x in ("*", "**") else (0.3, 7, 2.5, 0.2))[0]
            keys = list(_RANK_SHAPES[rank])
        else:
            keys = [t[0] for t in letters]
        problem.shape = [problem.dim(k, core) for k in keys]
        problem.shrink()
        if core.law.startswith("int"):
            bound = problem.dim(core.law.partition(":")[2], core)
            text = f"torch.randint(0, {bound}, ({', '.join(problem.shape)},))"
            role = "index"
        else:
            kind = "any" if core.law == "any" else core.law
            text = input_text(rng, kind, problem.shape)
            role = "matrix" if core.family in ("structured_matmul", "matmul_chain") and rng.random() < 0.6 else "main"
        problem.add_input(role, text)

    def _fits(self, problem: Problem, idiom: Idiom) -> bool:
        letters = shape_letters(idiom.x)
        if "*" in letters:
            return len(problem.shape) >= max(1, len(letters) - 1)
        return len(letters) == len(problem.shape)

    def add(self, problem: Problem, idiom: Idiom) -> None:
        if not self._fits(problem, idiom):
            raise ValueError(f"{idiom.name} does not fit {problem.shape}")
        rank = len(problem.shape)
        letters = shape_letters(idiom.x)
        if "*" not in letters:
            problem.letters = {k: v for k, v in problem.letters.items() if k.startswith("~") or not problem.stages}
            for token, key in zip(letters, problem.shape, strict=True):
                if problem.letters.setdefault(token[0], key) != key:
                    raise ValueError(f"{idiom.name} wants equal sizes")
        elif problem.stages:
            problem.letters = {}
        before = list(problem.shape)
        if letters == ["*", "C"] and "C" not in problem.letters:
            problem.letters["C"] = problem.shape[-1]
        d = problem.rng.choices(range(rank), [1] * (rank - 1) + [3])[0]
        holes = {name: fill_hole(problem, idiom, kind) for name, kind in idiom.holes.items()}
        problem.stages.append(Stage(idiom, holes, d, rank))
        problem.shape = _after(problem, idiom, before, d)


def _after(problem: Problem, idiom: Idiom, before: list[str], d: int) -> list[str]:
    """Shape of the value after an idiom, in keys; `#` for a size that has no name."""
    if idiom.out == "-":
        return []
    if idiom.out == "-D":
        return [k for i, k in enumerate(before) if i != d]
    tokens = shape_letters(idiom.x)
    shape: list[str] = []
    for token in shape_letters(idiom.out.replace("**", "*")):
        if token == "*":
            shape += before[: len(before) - sum(t != "*" for t in tokens)]
        elif token == tokens[-1]:
            shape.append(before[-1])
        else:
            shape.append("#" if len(token) > 1 else problem.letters.get(token, "#"))
    return shape


def _choose(rng: Random, idioms: list[Idiom]) -> Idiom:
    return rng.choices(idioms, [i.weight for i in idioms])[0]
