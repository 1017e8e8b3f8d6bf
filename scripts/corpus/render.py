"""Problem -> statements of a forward, by choosing one text for each idiom and chaining them."""

from __future__ import annotations

import ast
import copy
from random import Random

from scripts.corpus.problem import Problem, Stage


class _Fill(ast.NodeTransformer):
    """Replaces holes by expressions and makes locals unique (`~3~name`, renamed by people's habits later)."""

    def __init__(self, holes: dict[str, ast.expr], local: dict[str, str]) -> None:
        self.holes, self.local = holes, local

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id in self.local:
            return ast.Name(self.local[node.id], node.ctx)
        if node.id in self.holes and isinstance(node.ctx, ast.Load):
            return copy.deepcopy(self.holes[node.id])
        return node


def stored_names(nodes: list[ast.stmt]) -> list[str]:
    """Names that statements bind, comprehension variables included, in order of appearance."""
    found = [n.id for s in nodes for n in ast.walk(s) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    return list(dict.fromkeys(found))


class _Signs(ast.NodeTransformer):
    """Counts some `dim=` arguments from the other end."""

    def __init__(self, stage: Stage, share: float, rng: Random) -> None:
        self.rank, self.d, self.share, self.rng = stage.rank, stage.d, share, rng

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        self.generic_visit(node)
        if node.arg != "dim":
            return node
        if isinstance(node.value, ast.Name) and node.value.id == "D":
            node.value = ast.Constant(self.d)
        if (
            isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, int)
            and self.rng.random() < self.share
        ):
            node.value = ast.UnaryOp(ast.USub(), ast.Constant(self.rank - node.value.value))
        elif ast.unparse(node.value) == "-1" and self.rank > 0 and self.rng.random() < 0.5 * (1 - self.share):
            node.value = ast.Constant(self.rank - 1)
        return node


# Texts with one of these have tensors whose number of dimensions isn't X's.
_RESHAPES = (
    "stack",
    "view",
    "reshape",
    "flatten",
    "unsqueeze",
    "chunk",
    "bmm",
    "permute",
    "one_hot",
    "row",
    "[i]",
    "[:,",
)


def render(problem: Problem, texts: list[str], rng: Random | None = None, negative: float = 0.0) -> list[ast.stmt]:
    """The statements of a forward; texts: one template a stage.

    With an rng, dimensions are counted from the end with probability `negative`, else as the texts have them.
    """
    current: ast.expr = ast.Name(problem.inputs[0][0], ast.Load())
    statements: list[ast.stmt] = []
    for number, (stage, text) in enumerate(zip(problem.stages, texts, strict=True)):
        tree = ast.parse(text)
        uses = sum(isinstance(n, ast.Name) and n.id == "X" for n in ast.walk(tree))
        if uses > 1 and not isinstance(current, ast.Name):
            name = f"_{number}_y"
            statements.append(_assign(name, current))
            current = ast.Name(name, ast.Load())
        if rng is not None and not any(word in text for word in _RESHAPES):
            tree = _Signs(stage, negative, rng).visit(tree)
        local = {n: f"_{number}_{n}" for n in stored_names(tree.body)}
        filled = _Fill({**stage.holes, "X": current, "D": _dimension(stage)}, local).visit(tree)
        last = filled.body.pop()
        statements += filled.body
        current = last.value
    statements.append(ast.Return(current))
    return [ast.fix_missing_locations(s) for s in statements]


def _dimension(stage: Stage) -> ast.expr:
    return ast.Constant(stage.d)


def _assign(name: str, value: ast.expr) -> ast.stmt:
    return ast.fix_missing_locations(ast.Assign([ast.Name(name, ast.Store())], value))


def loads(nodes: list[ast.stmt]) -> dict[str, int]:
    """How often each name is read."""
    counts: dict[str, int] = {}
    for s in nodes:
        for n in ast.walk(s):
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load):
                counts[n.id] = counts.get(n.id, 0) + 1
    return counts


class _Replace(ast.NodeTransformer):
    def __init__(self, name: str, value: ast.expr) -> None:
        self.name, self.value, self.blocked, self.done = name, value, 0, False

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id == self.name and isinstance(node.ctx, ast.Load) and not self.blocked:
            self.done = True
            return copy.deepcopy(self.value)
        return node

    def _block(self, node: ast.AST) -> ast.AST:
        self.blocked += 1
        self.generic_visit(node)
        self.blocked -= 1
        return node

    visit_ListComp = visit_GeneratorExp = visit_For = visit_Lambda = _block


def inline(statements: list[ast.stmt], rng: Random, share: float) -> list[ast.stmt]:
    """Put single-use locals into the statement that follows, each with probability `share`."""
    result: list[ast.stmt] = []
    pending = list(statements)
    while pending:
        s = pending.pop(0)
        if pending and isinstance(s, ast.Assign) and isinstance(s.targets[0], ast.Name) and rng.random() < share:
            name = s.targets[0].id
            everything = [*result, s, *pending]
            stores = sum(stored_names([t]).count(name) for t in everything)
            if loads(everything).get(name) == 1 and stores == 1 and not isinstance(pending[0], ast.For):
                replace = _Replace(name, s.value)
                following = ast.fix_missing_locations(replace.visit(copy.deepcopy(pending[0])))
                if replace.done:
                    pending[0] = following
                    continue
        result.append(s)
    return result


class _Extract(ast.NodeTransformer):
    """Takes one sub-expression out of a statement."""

    def __init__(self, node: ast.expr, name: str) -> None:
        self.node, self.name = node, name

    def visit(self, node: ast.AST) -> ast.AST:
        if node is self.node:
            return ast.Name(self.name, ast.Load())
        return self.generic_visit(node)


def extract(statements: list[ast.stmt], rng: Random, share: float) -> list[ast.stmt]:
    """Give names to sub-expressions: the opposite of `inline`."""
    result: list[ast.stmt] = []
    count = 0
    for s in statements:
        while isinstance(s, ast.Assign | ast.Return) and s.value is not None and rng.random() < share:
            nodes = [n for n in _children(s.value) if _worth_a_name(n)]
            if not nodes:
                break
            node, name = rng.choice(nodes), f"_x{count}_{rng.choice(('y', 'z', 'out', 'h', 't', 'a'))}"
            count += 1
            result.append(_assign(name, copy.deepcopy(node)))
            s = ast.fix_missing_locations(_Extract(node, name).visit(s))
        result.append(s)
    return result


def _children(node: ast.expr) -> list[ast.expr]:
    """Sub-expressions that are evaluated exactly once and always."""
    found: list[ast.expr] = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ListComp | ast.GeneratorExp | ast.Lambda | ast.IfExp | ast.Starred | ast.Slice):
            continue
        if isinstance(child, ast.keyword):
            continue
        if isinstance(child, ast.expr):
            found += [child, *_children(child)]
    return found


def _worth_a_name(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp):
        return not all(isinstance(n, ast.Constant) for n in (node.left, node.right))
    return isinstance(node, ast.Call) and not ast.unparse(node.func).startswith(("math", "range", "zip"))
