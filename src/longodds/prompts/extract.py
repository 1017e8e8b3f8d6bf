"""Completion -> program: a whole module with `class ModelNew`, from whatever form the model answered in."""

from __future__ import annotations

import ast
import copy
import re
import textwrap
from typing import TYPE_CHECKING

from longodds.errors import UserError
from longodds.prompts.build import BODY_STOP, STYLES, forward_signature
from longodds.prompts.source import STANDARD_IMPORTS, is_docstring, parse_source, split_reference

if TYPE_CHECKING:
    from longodds.types import Task

_FENCE = re.compile(r"```[^\n`]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)
_CLASS = re.compile(r"^[ \t]*class\s+ModelNew\b", re.MULTILINE)
_FORWARD = re.compile(r"^[ \t]*def\s+forward\s*\(", re.MULTILINE)
_STOP = re.compile(BODY_STOP)


def extract_program(text: str, task: Task, style: str = "forward-body") -> str:
    """The module that the evaluator runs, made of a model's answer.

    Accepts a body, a `def forward`, a class or a module, bare or in a fence. A body gets the reference's imports,
    constants, helpers, `__init__` and other methods, but never its `forward`: a program must compute by itself.
    Text that is no Python ends up in the module as it is, so that compiling it fails. Never raises for any text.
    """
    if style not in STYLES:
        raise UserError(f"prompt style '{style}' is unknown; use one of: {', '.join(STYLES)}")
    code = _unfence(text)
    if _CLASS.search(code):
        return _from_class(code, task)
    if _FORWARD.search(code):
        forward = _from_forward(code, task)
        if forward is not None:
            return forward
    return _from_body(code, task)


def _unfence(text: str) -> str:
    """The fenced block that looks most like an answer, or the text itself."""
    blocks: list[str] = _FENCE.findall(text)
    if not blocks:
        return text
    for pattern in (_CLASS, _FORWARD):
        for block in reversed(blocks):
            if pattern.search(block):
                return block
    return blocks[-1]


# --- body -------------------------------------------------------------------------------------


def _from_body(text: str, task: Task) -> str:
    signature = forward_signature(task)
    body = next((b for b in _bodies(text) if _is_body(b, signature)), None)
    if body is None:
        body = textwrap.dedent(_continue(text))
    return _module(task, _method(signature, body))


def _method(signature: str, body: str) -> str:
    return f"    def forward({signature}):\n{textwrap.indent(body, ' ' * 8)}"


def _continue(text: str) -> str:
    """The text as it continues the prompt's open indent, cut where the body ends."""
    stop = _STOP.search(text)
    return " " * 7 + (text[: stop.start()] if stop else text)


def _bodies(text: str) -> list[str]:
    """Readings of a body's indentation, the most literal first, each dedented to column 0."""
    head, _, tail = text.partition("\n")
    first, _, rest = text.strip("\n").partition("\n")
    first, rest = first.strip(), textwrap.dedent(rest)
    if first.endswith(":"):
        rest = textwrap.indent(rest, "    ")
    readings = [" " * 7 + text, " " * 8 + head.lstrip() + "\n" + tail]
    if re.match(r" \S", text):  # the mark of a continuation: what follows a dedent is no part of the body
        readings.append(_continue(text))
    readings += [text, f"{first}\n{rest}", _continue(text)]
    return [textwrap.dedent(r) for r in readings]


def _is_body(body: str, signature: str) -> bool:
    """Whether the lines are statements of one function and nothing beside it."""
    if not body.strip():
        return False
    tree = parse_source(f"def forward({signature}):\n{textwrap.indent(body, '    ')}")
    return tree is not None and len(tree.body) == 1


# --- whole functions and classes ----------------------------------------------------------------


def _from_forward(text: str, task: Task) -> str | None:
    """A `def forward`, with helper functions around it if they parse."""
    start = _FORWARD.search(text)
    for candidate in (text, text[start.start() :] if start else text):
        tree = parse_source(textwrap.dedent(candidate))
        if tree is None:
            continue
        forward = next((n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "forward"), None)
        if forward is None:
            continue
        forward.decorator_list = []
        before = [n for n in tree.body if n is not forward]
        return _module(task, textwrap.indent(ast.unparse(forward), "    "), before)
    return None


def _from_class(text: str, task: Task) -> str:
    """A `class ModelNew` or a module with one: what it leaves out is taken from the reference, `forward` excepted."""
    start = _CLASS.search(text)
    readings = [text, textwrap.dedent(text), textwrap.dedent(text[start.start() :]) if start else text]
    tree = next((t for t in map(parse_source, readings) if t is not None), None)
    found = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "ModelNew"] if tree else []
    if tree is None or not found:
        return text
    new, parts = found[-1], split_reference(task.reference, task.id)
    inherits = any(isinstance(b, ast.Name) and b.id == "Model" for b in new.bases)
    if inherits and not any(isinstance(n, ast.ClassDef) and n.name == "Model" for n in tree.body):
        new.bases = copy.deepcopy(parts.model.bases)
    defined = {n.name for n in new.body if isinstance(n, ast.FunctionDef)}
    if inherits or "__init__" not in defined:
        new.body = [n for n in _kept_members(parts.model) if _member_name(n) not in defined] + new.body
    bound = _bound(tree.body)
    preamble = [n for n in parts.preamble if not (names := _bound([n])) or not names <= bound]
    future = [n for n in tree.body if isinstance(n, ast.ImportFrom) and n.module == "__future__"]
    rest = [n for n in tree.body if n not in future]
    return _write([*future, *_standard(bound | _bound(preamble)), *preamble, *rest])


def _module(task: Task, method: str, extra: list[ast.stmt] | None = None) -> str:
    """Imports, constants and helpers of the reference, then `ModelNew` around a method's source text."""
    parts = split_reference(task.reference, task.id)
    preamble = [*parts.preamble, *(extra or [])]
    bases = ", ".join(ast.unparse(b) for b in parts.model.bases)
    members = [textwrap.indent(ast.unparse(n), "    ") for n in _kept_members(parts.model)]
    head = _write([*_standard(_bound(preamble)), *preamble])
    return "\n\n".join([f"{head}\n\nclass ModelNew({bases}):", *members, method.rstrip()]) + "\n"


class _Rename(ast.NodeTransformer):
    """`Model` inside its own methods (`super(Model, self)`) becomes `ModelNew`."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id == "Model":
            node.id = "ModelNew"
        return node


def _kept_members(model: ast.ClassDef) -> list[ast.stmt]:
    members = [n for n in model.body if not is_docstring(n) and _member_name(n) != "forward"]
    return [_Rename().visit(copy.deepcopy(n)) for n in members if not isinstance(n, ast.Pass)]


def _member_name(node: ast.stmt) -> str | None:
    return node.name if isinstance(node, ast.FunctionDef | ast.ClassDef) else None


def _bound(nodes: list[ast.stmt]) -> set[str]:
    """Names that statements bind at module level."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {a.asname or a.name.partition(".")[0] for a in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        else:
            names |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return names


def _standard(bound: set[str]) -> list[ast.stmt]:
    """Imports that a body may rely on and nothing else binds."""
    return [n for name, line in STANDARD_IMPORTS.items() if name not in bound for n in ast.parse(line).body]


def _write(nodes: list[ast.stmt]) -> str:
    future = [n for n in nodes if isinstance(n, ast.ImportFrom) and n.module == "__future__"]
    return "\n".join(ast.unparse(n) for n in [*future, *(n for n in nodes if n not in future)])
