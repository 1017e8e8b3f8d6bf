"""Extensions that a program compiles by `load_inline` from sources that stand in its text: a module that compiles them
and does nothing else. What that compiled, no program has touched, so every program with the same calls may have it.

By the text alone, and on both sides: the controller reads a call's arguments off the program, the child sees them when
the call is made. No torch here.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

_PARAMETERS = ("name", "cpp_sources", "cuda_sources")  # later ones are in other places in other versions of PyTorch
_SILENT = ("verbose",)  # what does not change what is compiled
_ELSEWHERE = ("build_directory", "keep_intermediates")
_HEAD = "from torch.utils.cpp_extension import load_inline\n\n"
_FOOT = "\n\nclass ModelNew:\n    pass\n"


class _Unknown(Exception):
    """What a call is made with is not told by the text."""


def compiles(program: str) -> bool:
    """Whether a program may compile C++ or CUDA when it is loaded. By its text, so a hint and no more: one that hides
    it compiles in its own process, with the whole headers."""
    return "cpp_extension" in program


def call_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """A call of `load_inline` with these arguments, in one form. Raises ValueError where that can't be told."""
    if len(args) > len(_PARAMETERS):
        raise ValueError("too many arguments without a name")
    named = {k: _listed(v) for k, v in (dict(zip(_PARAMETERS, args, strict=False)) | dict(kwargs)).items()}
    if not _plain(named) or not named.keys().isdisjoint(_ELSEWHERE):
        raise ValueError("arguments that a text can't hold")
    kept = sorted((k, v) for k, v in named.items() if k not in _SILENT and v is not None)
    return f"load_inline({', '.join(f'{k}={v!r}' for k, v in kept)})"


def digest(call: str) -> str:
    return hashlib.sha256(call.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def calls(program: str) -> list[str] | None:
    """The calls of `load_inline` in a program, in one form each; None where it compiles in another way as well, or the
    text does not tell."""
    if not compiles(program):
        return None
    try:
        tree = ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    known = _constants(tree)
    found: list[str] = []
    try:
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in ("load", "CUDAExtension", "CppExtension"):
                return None
            if name == "load_inline":
                if any(k.arg is None for k in node.keywords):
                    return None
                args = [_value(a, known) for a in node.args]
                found.append(call_of(args, {str(k.arg): _value(k.value, known) for k in node.keywords}))
    except (_Unknown, ValueError, RecursionError):
        return None
    return list(dict.fromkeys(found)) or None


def alone(program: str) -> str | None:
    """A module that makes the program's calls of `load_inline` and does nothing else, if its text tells them."""
    found = calls(program)
    return None if found is None else _HEAD + "\n".join(found) + _FOOT


def _listed(value: Any) -> Any:
    return [_listed(item) for item in value] if isinstance(value, (list, tuple)) else value


def _plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(k, str) and _plain(v) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_plain, value))
    return value is None or type(value) in (str, int, bool, float)


def _constants(tree: ast.Module) -> dict[str, Any]:
    """Names that the module gives one value that its text tells, and no other anywhere."""
    bound: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound[node.id] = bound.get(node.id, 0) + 1
        elif isinstance(node, ast.arg):
            bound[node.arg] = bound.get(node.arg, 0) + 1
    known: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            try:
                if bound[name] == 1:
                    known[name] = _value(node.value, known)
            except _Unknown:
                continue
    return known


def _value(node: ast.expr, known: Mapping[str, Any]) -> Any:
    """Raises _Unknown."""
    if isinstance(node, ast.Constant) and _plain(node.value):
        return node.value
    if isinstance(node, ast.Name) and node.id in known:
        return known[node.id]
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(item, known) for item in node.elts]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _value(node.left, known), _value(node.right, known)
        if type(left) is type(right) and isinstance(left, (str, list)):
            return left + right
    raise _Unknown
