"""Read a reference module: parse without surprises, take it apart, write it down compactly."""

from __future__ import annotations

import ast
import copy
from dataclasses import dataclass, field

from longodds.errors import UserError
from longodds.programs import is_docstring, parse_source

_INPUT_FUNCTIONS = ("get_inputs", "get_init_inputs")
# Names that every program of ours can rely on, whatever the reference imported.
STANDARD_IMPORTS = {
    "math": "import math",
    "torch": "import torch",
    "nn": "import torch.nn as nn",
    "F": "import torch.nn.functional as F",
}


@dataclass(frozen=True)
class ReferenceParts:
    """A reference module taken apart. `preamble` holds imports, constants and helpers in their order."""

    preamble: list[ast.stmt]
    model: ast.ClassDef
    forward: ast.FunctionDef
    get_inputs: ast.FunctionDef | None = None
    imports: list[ast.stmt] = field(default_factory=list)


def split_reference(source: str, task_id: str) -> ReferenceParts:
    """Take a reference apart. UserError if it is no Python or has no `class Model` with a `forward`."""
    tree = parse_source(source)
    if tree is None:
        raise UserError(f"{task_id}: the reference is not valid Python; correct the file")
    model = next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Model"), None)
    if model is None:
        raise UserError(f"{task_id}: the reference defines no class Model; add one (KernelBench's format)")
    forward = next((n for n in model.body if isinstance(n, ast.FunctionDef) and n.name == "forward"), None)
    if forward is None:
        raise UserError(f"{task_id}: class Model has no forward method; add one (KernelBench's format)")
    preamble: list[ast.stmt] = []
    imports: list[ast.stmt] = []
    get_inputs = None
    for node in tree.body:
        if node is model or is_docstring(node) or (isinstance(node, ast.If) and "__name__" in _names([node])):
            continue
        if isinstance(node, ast.FunctionDef) and node.name in _INPUT_FUNCTIONS:
            get_inputs = node if node.name == "get_inputs" else get_inputs
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.append(node)
        preamble.append(node)
    return ReferenceParts(preamble, model, forward, get_inputs, imports)


class _Strip(ast.NodeTransformer):
    """Drops what a reader of the computation doesn't need: docstrings, annotations, old-style super calls."""

    def _strip_body(self, node: ast.FunctionDef | ast.ClassDef) -> None:
        node.body = [n for n in node.body if not is_docstring(n)] or [ast.Pass()]

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        self._strip_body(node)
        node.returns = None
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self.generic_visit(node)
        self._strip_body(node)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        if node.value is None:
            return node
        return ast.copy_location(ast.Assign(targets=[node.target], value=node.value), node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        short = {"torch.nn": "nn", "nn.functional": "F"}.get(ast.unparse(node))
        return ast.copy_location(ast.Name(id=short, ctx=node.ctx), node) if short else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "super":
            node.args = []
        return node


def _strip(node: ast.stmt) -> ast.stmt:
    return ast.fix_missing_locations(_Strip().visit(copy.deepcopy(node)))


def _names(nodes: list[ast.stmt]) -> set[str]:
    return {n.id for node in nodes for n in ast.walk(node) if isinstance(n, ast.Name)}


def _defined(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return set()


_FOLD = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Div: lambda a, b: a / b,
    ast.Mod: lambda a, b: a % b,
}


def _fold(node: ast.expr, known: dict[str, int | float]) -> int | float | None:
    """The number that a constant expression stands for, or None."""
    if isinstance(node, ast.Constant):
        value = node.value
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _fold(node.operand, known)
        return None if value is None else -value
    if isinstance(node, ast.BinOp) and type(node.op) in _FOLD:
        a, b = _fold(node.left, known), _fold(node.right, known)
        if a is None or b is None:
            return None
        try:
            return _FOLD[type(node.op)](a, b)
        except (ZeroDivisionError, OverflowError):
            return None
    return None


def compact_reference(source: str, task_id: str, *, max_chars: int = 1100) -> str:
    """The reference as the model reads it: no imports, comments, docstrings, annotations or unused names; folded sizes.

    `get_inputs` stays while the whole fits `max_chars` (about three characters a token), because it carries
    structure that `forward` may rely on (triangular, sorted, non-negative, ...). Raises UserError as `split_reference`.
    """
    parts = split_reference(source, task_id)
    helpers = [_strip(n) for n in parts.preamble if n not in parts.imports and not is_docstring(n)]
    known: dict[str, int | float] = {}
    for node in helpers:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            value = _fold(node.value, known)
            if value is not None:
                known[node.targets[0].id] = value
                node.value = ast.fix_missing_locations(ast.copy_location(ast.Constant(value), node.value))
    model = _strip(parts.model)
    inputs = [_strip(parts.get_inputs)] if parts.get_inputs is not None else []

    def write(tail: list[ast.stmt]) -> str:
        wanted = _names([model, *tail])
        kept: list[ast.stmt] = []
        for node in reversed(helpers):
            if _defined(node) & wanted or not _defined(node):
                kept.insert(0, node)
                wanted |= _names([node])
        lines = "\n".join(ast.unparse(n) for n in [*kept, model, *tail]).splitlines()
        return "\n".join(line for line in lines if line.strip())

    text = write(inputs)
    return text if len(text) <= max_chars else write([])
