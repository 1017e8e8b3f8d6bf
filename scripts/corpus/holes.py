"""Fill an idiom's holes: inputs, parameters, buffers, layers and numbers of the kinds that template.py lists."""

from __future__ import annotations

import ast
from random import Random

from scripts.corpus.problem import Dim, Problem
from scripts.corpus.template import Idiom

_VALUES = {
    "s": (0.25, 0.3, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 1.1, 1.2, 1.25, 1.5, 1.6, 1.7, 1.8, 2.0, 2.5, 3.0, 4.0),
    "o": (-1.5, -1.0, -0.5, -0.25, -0.1, 0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0),
    "e": (1e-5, 1e-6, 1e-5, 1e-8, 1e-4, 1e-3, 1e-12),
    "e2": (1e-2, 1e-3, 0.1, 0.05),
    "t": (0.5, 0.7, 0.8, 1.5, 2.0, 3.0, 4.0),
    "f": (0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95),
    "f9": (0.8, 0.85, 0.9, 0.92, 0.95, 0.97, 0.98, 0.99),
    "f1": (0.05, 0.1, 0.15, 0.2),
    "f3": (2.6, 2.9, 3.1, 3.3, 3.5, 3.7),
    "lo": (-3.0, -2.0, -1.5, -1.0, -0.5, 0.0, 0.1),
    "hi": (0.5, 0.75, 0.8, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0),
    "big": (-1e4, -1e9, -100.0, -50.0),
}
_INPUT_TEXT = {
    "U": "torch.rand({})",
    "S": "torch.sign(torch.randn({}))",
    "bin": "(torch.rand({}) > 0.5).float()",
    "prob": "torch.softmax(torch.randn({}), dim=-1)",
    "M": "torch.rand({}) > 0.5",
    "T": "torch.tril(torch.randn({}))",
    "T2": "torch.triu(torch.randn({}))",
    "rand": "torch.rand({})",
    "sign": "torch.sign(torch.randn({}))",
    "tril": "torch.tril(torch.randn({}))",
    "triu": "torch.triu(torch.randn({}))",
    "prob01": "torch.sigmoid(torch.randn({}))",
}


def input_text(rng: Random, kind: str, sizes: list[str]) -> str:
    """How `get_inputs` makes a tensor of a kind."""
    shape = ", ".join(sizes)
    if kind in ("I", "any"):
        law = rng.random()
        return (
            f"torch.randn({shape})"
            if law < 0.6
            else f"torch.rand({shape})"
            if law < 0.9
            else f"2 * torch.rand({shape}) - 1"
        )
    return _INPUT_TEXT[kind].format(shape)


def fill_hole(problem: Problem, idiom: Idiom, kind: str) -> ast.expr:
    """The expression that stands for a hole; adds whatever the module needs for it."""
    head, _, rest = kind.partition(":")
    rng = problem.rng
    if kind in _VALUES:
        return problem.add_scalar(kind, repr(rng.choice(_VALUES[kind])))
    if head == "k":
        low, _, high = rest.partition("-")
        return problem.add_scalar("k", str(rng.randint(int(low), int(high))))
    if head == "g":
        return _groups(problem, idiom, rest)
    if head == "size":
        key = problem.dim(rest, idiom)
        if key in problem.constants or rng.random() < 0.5:
            return ast.Name(key, ast.Load())
        attr = problem.init_size(key)
        if attr == key:
            return ast.Name(key, ast.Load())
        problem.init_lines.append(f"self.{attr} = {attr}")
        return ast.parse(f"self.{attr}", mode="eval").body
    if head == "L":
        return problem.add_linear(rest, idiom)
    if head in ("P", "Q", "Q01", "R", "V", "sorted", "BD", "KD"):
        return _tensor(problem, idiom, head, rest)
    return _input(problem, idiom, head, rest)


def _groups(problem: Problem, idiom: Idiom, letter: str) -> ast.expr:
    """A divisor of a dimension: a constant of its own, carried by an attribute or not."""
    rng = problem.rng
    target = problem.dims[problem.dim(letter, idiom)]
    real = rng.choice([g for g in (2, 4, 8, 16, 32) if g <= target.real // 2])
    target.real = max(target.real // real, 2) * real
    key = problem.dim("G", idiom)
    problem.dims[key] = Dim(key, real, rng.choice((2, 3, 4)))
    if rng.random() < 0.3:
        return ast.Name(key, ast.Load())
    attr = f"{rng.choice(('groups', 'num_groups', 'n_groups', 'blocks', 'parts', 'n_blocks'))}"
    if attr in problem.taken:
        return ast.Name(key, ast.Load())
    problem.taken.add(attr)
    if rng.random() < 0.7:
        problem.init_args.append((attr, None, key))
        problem.init_lines.append(f"self.{attr} = {attr}")
    else:
        problem.init_lines.append(f"self.{attr} = {key}")
    return ast.parse(f"self.{attr}", mode="eval").body


def _tensor(problem: Problem, idiom: Idiom, head: str, rest: str) -> ast.expr:
    rng = problem.rng
    if head == "sorted":
        count = rng.randint(3, 9)
        if rest == "k":
            problem.letters["~k"] = str(count)
        return problem.add_tensor("R", [str(count)], "torch.linspace(-1.5, 1.5, {})")
    if rest == "k1":
        return problem.add_tensor("P", [str(int(problem.letters["~k"]) + 1)], "torch.randn({})")
    if head in ("BD", "KD"):
        group, whole = problem.dim("G", idiom), problem.dim(rest, idiom)
        block = [f"{whole} // {group}"] * 2
        shape = [group, *block] if head == "BD" else block
        text = f"torch.randn({', '.join(shape)}) * 0.1"
        return problem.add_tensor("P", [], text)
    shape = problem.sizes(rest, idiom)
    if head == "P":
        fill = _matrix_fill(rng, shape)
        if len(shape) < 2 and rng.random() < 0.4:
            fill = rng.choice(("torch.ones({})", "torch.zeros({})", "torch.randn({}) * 0.1", "torch.rand({})"))
        return problem.add_tensor("P", shape, fill)
    fills = {"Q": "torch.rand({}) + 0.5", "Q01": "torch.rand({})", "R": "torch.randn({})", "V": "torch.rand({}) + 0.5"}
    return problem.add_tensor("P" if head.startswith("Q") else "R", shape, fills[head])


def _matrix_fill(rng: Random, shape: list[str]) -> str:
    fills = ["torch.randn({})", "torch.randn({}) * 0.1", "torch.randn({}) * 0.02", "0.1 * torch.randn({})"]
    if len(shape) > 1 and shape[-1].isidentifier():
        fills += [f"torch.randn({{}}) / {shape[-1]} ** 0.5", f"torch.randn({{}}) / math.sqrt({shape[0]})"]
    return rng.choice(fills)


def _input(problem: Problem, idiom: Idiom, head: str, rest: str) -> ast.expr:
    rng = problem.rng
    if head == "perm":
        return problem.add_input("index", f"torch.rand({problem.size(rest, idiom)}).argsort()")
    if head == "G":
        shape, _, bound = rest.partition("<")
        sizes = problem.sizes(shape, idiom)
        return problem.add_input(
            "index" if idiom.family != "losses" else "target",
            f"torch.randint(0, {problem.size(bound, idiom)}, ({', '.join(sizes)},))",
        )
    sizes = problem.sizes(rest, idiom)
    if head == "I" and idiom.family in ("structured_matmul", "matmul_chain") and rng.random() < 0.3:
        return problem.add_tensor("P", sizes, _matrix_fill(rng, sizes))
    text = input_text(rng, head, sizes)
    if head == "M":
        return problem.add_input("mask", text)
    role = "second"
    if idiom.family == "losses":
        role = "target"
    elif idiom.family in ("structured_matmul", "matmul_chain"):
        role = "matrix" if len(sizes) > 1 else "vector"
    return problem.add_input(role, text)
