"""A user's own module as a task: any file with an `nn.Module`, brought into KernelBench's format. Never executed."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from longodds.errors import UserError
from longodds.tasks.problem import build_task, parse_problem, read_problem

if TYPE_CHECKING:
    from longodds.types import Task

_TENSORS = {".pt", ".pth", ".safetensors"}
_PROVIDED = ("get_inputs", "get_init_inputs")


def read_module(
    path: Path, *, class_name: str | None = None, inputs: str | None = None, init_inputs: str | None = None
) -> Task:
    """The task of making one class of a file faster.

    class_name: which class; without it `Model`, else the only nn.Module of the file. It is called `Model` in the task's
    source, as KernelBench's format has it. inputs: where example inputs of `forward` come from, if not from the file's
    own `get_inputs`: a Python file that defines `get_inputs` (and may define `get_init_inputs`), a `.pt` or
    `.safetensors` file of tensors whose shapes, types and ranges are drawn from, or an expression such as
    `torch.randn(16, 256)`. init_inputs: an expression, the arguments of the constructor.
    Raises UserError, in one line, for whatever is missing or cannot be read.
    """
    path = path.expanduser()
    text = read_problem(path)
    tree = parse_problem(text, path)
    node = _find_class(tree, path, class_name)
    parts = [_called_model(text, tree, node.name).rstrip("\n") + "\n"]
    provided = {n.name for n in tree.body if isinstance(n, ast.FunctionDef)} & set(_PROVIDED)
    if inputs is not None:
        added, gives = _from_inputs(inputs, path, tree, node)
        parts.append(added)
        provided |= gives
    if "get_inputs" not in provided:
        example = ", ".join(f"<{name}>" for name in _arguments(node, "forward")) or "torch.randn(16, 256)"
        raise UserError(
            f"{path}: has no function get_inputs; give example inputs of {node.name}.forward with --inputs: a file "
            f"that defines get_inputs, a .pt file of tensors, or an expression such as '[{example}]'"
        )
    if init_inputs is not None:
        parts.append(_function("get_init_inputs", init_inputs, "--init-inputs"))
    elif "get_init_inputs" not in provided:
        needed = _arguments(node, "__init__", needed=True)
        if named := _keyword_only(node, "__init__"):
            raise UserError(
                f"{path}: {node.name}() takes {', '.join(named)} by keyword only, which get_init_inputs can't give; "
                "give a default, or wrap it in a class Model"
            )
        if needed:
            raise UserError(
                f"{path}: {node.name}() needs {', '.join(needed)}; give them with --init-inputs '[...]', or define "
                "get_init_inputs"
            )
        parts.append("def get_init_inputs():\n    return []\n")
    name = path.stem if node.name == "Model" else f"{path.stem}:{node.name}"
    task_id = f"file:{path}" if node.name == "Model" else f"file:{path}:{node.name}"
    source = "\n\n".join(parts)
    return build_task(source, task_id=task_id, suite=task_id, where=path, metadata={"name": name, "class": node.name})


# --- which class -------------------------------------------------------------------------------


def _find_class(tree: ast.Module, path: Path, name: str | None) -> ast.ClassDef:
    classes = {n.name: n for n in tree.body if isinstance(n, ast.ClassDef)}
    modules = _modules(classes)
    wanted = name or ("Model" if "Model" in classes else None)
    if wanted is None:
        if len(modules) == 1:
            return classes[modules[0]]
        if not modules:
            raise UserError(f"{path}: defines no nn.Module (no class `Model`, none that is derived from nn.Module)")
        raise UserError(
            f"{path}: has several modules and none is called Model; name one with --class: {', '.join(modules)}"
        )
    if wanted not in classes:
        near = get_close_matches(wanted, list(classes), n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(classes) or 'no class'}"
        raise UserError(f"{path}: has no class {wanted!r}; {hint}")
    return classes[wanted]


def _modules(classes: dict[str, ast.ClassDef]) -> list[str]:
    """Names of the classes that are modules by their bases, in the order of the file."""
    found: list[str] = []
    for name, node in classes.items():  # a base is defined before what is derived from it
        bases = [ast.unparse(base) for base in node.bases]
        if any(base.rsplit(".", 1)[-1] == "Module" or base in found for base in bases):
            found.append(name)
    return found


def _arguments(node: ast.ClassDef, method: str, *, needed: bool = False) -> list[str]:
    """Names of a method's positional arguments; needed: only those without a default."""
    found = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == method), None)
    if found is None:
        return []
    names = [a.arg for a in (*found.args.posonlyargs, *found.args.args)][1:]
    return names[: len(names) - len(found.args.defaults)] if needed else names


def _keyword_only(node: ast.ClassDef, method: str) -> list[str]:
    """Names of a method's arguments without a default that no position has."""
    found = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == method), None)
    both = zip(found.args.kwonlyargs, found.args.kw_defaults, strict=True) if found else ()
    return [a.arg for a, default in both if default is None]


# --- its name ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Edit:
    """`old` at a line (from 1) and a column in UTF-8 bytes becomes `new`."""

    line: int
    column: int
    old: str
    new: str


def _called_model(text: str, tree: ast.Module, name: str) -> str:
    """The text with class `name` called `Model`, and with another name for what had that one."""
    if name == "Model":
        return text
    other = "Model_"
    while other in text:
        other += "_"
    new = {name: "Model", "Model": other}
    edits: list[_Edit] = []
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=old) if old in new:
                edits.append(_Edit(node.lineno, node.col_offset, old, new[old]))
            case ast.alias(name=old, asname=None) if old == "Model":
                edits.append(_Edit(node.lineno, node.col_offset, old, f"{old} as {new[old]}"))
            case ast.alias(name=old, asname="Model"):
                edits.append(_Edit(node.lineno, node.col_offset, f"{old} as Model", f"{old} as {other}"))
            case ast.ClassDef(name=old) if old in new:
                edits.append(_Edit(node.lineno, node.col_offset, f"class {old}", f"class {new[old]}"))
            case _:
                pass
    lines = text.encode().replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    for e in sorted(edits, key=lambda e: (e.line, e.column), reverse=True):
        line, old = lines[e.line - 1], e.old.encode()
        # Within an f-string Python 3.11 gives no true places; a name that is left alone there fails loudly.
        if line[e.column :].startswith(old):
            lines[e.line - 1] = line[: e.column] + e.new.encode() + line[e.column + len(old) :]
    return b"\n".join(lines).decode()


# --- its inputs --------------------------------------------------------------------------------


def _from_inputs(given: str, path: Path, tree: ast.Module, node: ast.ClassDef) -> tuple[str, set[str]]:
    """What `--inputs` adds to the source, and which functions that defines."""
    file = Path(given).expanduser()
    if file.suffix == ".py":
        return _from_file(file, path, tree)
    if file.suffix in _TENSORS:
        from longodds.tasks.tensors import describe_tensors

        return describe_tensors(file, _arguments(node, "forward")), {"get_inputs"}
    return _function("get_inputs", given, "--inputs"), {"get_inputs"}


def _from_file(file: Path, path: Path, module: ast.Module) -> tuple[str, set[str]]:
    text = read_problem(file)
    tree = parse_problem(text, file)
    functions = {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}
    if "get_inputs" not in functions:
        raise UserError(f"{file}: has no function `get_inputs`; it returns the list of inputs of forward")
    both = (_defined(tree) & _defined(module)) - set(_PROVIDED)
    if both:
        raise UserError(f"{file}: defines {sorted(both)[0]!r}, and so does {path}; rename one of them")
    lines = text.splitlines()
    for statement in tree.body:
        # The two become one module: what one takes from the other is there, and __future__ stands at the top only.
        if isinstance(statement, ast.ImportFrom) and statement.module in ("__future__", path.stem):
            last = statement.end_lineno or statement.lineno
            lines[statement.lineno - 1 : last] = [""] * (last - statement.lineno + 1)
    return "\n".join(lines).strip("\n") + "\n", functions & set(_PROVIDED)


def _defined(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return names


def _function(name: str, expression: str, flag: str) -> str:
    """`get_inputs` or `get_init_inputs` of an expression: one value, or a list or tuple of them."""
    try:
        body = ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        raise UserError(
            f"{flag} {expression!r}: is neither a .py, .pt or .safetensors file nor an expression of Python"
            if flag == "--inputs"
            else f"{flag} {expression!r}: is no expression of Python; write for example '[64, 2]'"
        ) from None
    value = ast.unparse(body)
    if isinstance(body, ast.Tuple):
        value = f"[{', '.join(ast.unparse(e) for e in body.elts)}]"
    elif not isinstance(body, ast.List | ast.ListComp):
        value = f"[{value}]"
    return f"def {name}():\n    import torch\n\n    return {value}\n"
