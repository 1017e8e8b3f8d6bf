"""What must not be shared with an evaluation problem: its text up to names, its chain of operations, its constants."""

from __future__ import annotations

import ast
import hashlib

from longodds.programs import parse_source
from longodds.prompts.source import compact_reference, split_reference

_KEPT = frozenset(
    [
        "torch",
        "nn",
        "F",
        "math",
        "self",
        "super",
        "range",
        "len",
        "zip",
        "enumerate",
        "reversed",
        "sum",
        "min",
        "max",
        "abs",
        "float",
        "int",
        "list",
        "tuple",
        "True",
        "False",
        "None",
    ]
)


def normalised_reference(source: str, name: str) -> str:
    """The compact reference with all of the author's names numbered and large numbers (sizes) left out."""
    tree = parse_source(compact_reference(source, name, max_chars=10**9))
    assert tree is not None
    known: dict[str, str] = {}

    def number(text: str) -> str:
        return known.setdefault(text, f"n{len(known)}")

    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id not in _KEPT:
            node.id = number(node.id)
        elif isinstance(node, ast.arg) and node.arg != "self":
            node.arg = number(node.arg)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
            node.attr = number(node.attr)
        elif isinstance(node, ast.Constant) and type(node.value) is int and node.value > 8:
            node.value = 0
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = number(node.value)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def op_chain(source: str, name: str) -> tuple[str, ...]:
    """Names of the operations of `forward` in the order of evaluation; spellings of one operation are one name."""
    chain: list[str] = []
    _collect(split_reference(source, name).forward, chain)
    return tuple(chain)


_SAME = {"mm": "matmul", "bmm": "matmul", "pow": "power", "square": "power", "true_divide": "div", "multiply": "mul"}


def _collect(node: ast.AST, chain: list[str]) -> None:
    for child in ast.iter_child_nodes(node):
        _collect(child, chain)
    if isinstance(node, ast.BinOp):
        name = type(node.op).__name__.lower()
        chain.append({"mult": "mul", "matmult": "matmul", "pow": "power"}.get(name, name))
    elif isinstance(node, ast.Call):
        func = node.func
        name = func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else "call"
        if isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name) and func.value.id == "self":
            name = "layer"
        chain.append(_SAME.get(name.rstrip("_"), name.rstrip("_")))
    elif isinstance(node, ast.Compare | ast.For | ast.UnaryOp):
        chain.append(type(node).__name__.lower())


def class_constants(source: str) -> frozenset[tuple[str, int | float]]:
    """The module's constants (name, value), sizes above all."""
    tree = parse_source(source)
    assert tree is not None
    found: set[tuple[str, int | float]] = set()
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            value = ast.unparse(node.value).replace(" * SCALE", "").replace("SCALE * ", "")
            if node.targets[0].id != "SCALE" and value.replace(".", "", 1).isdigit():
                found.add((node.targets[0].id, float(value)))
    return frozenset(found)


def names_in(source: str) -> set[str]:
    """Function and attribute names that a module's code uses, lower case."""
    tree = parse_source(source)
    assert tree is not None
    found = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    return {n.lower() for n in found | {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}}
