"""One problem file in KernelBench's format: read, checked by its outline, scaled. Never executed here."""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from longodds.errors import UserError
from longodds.types import Task, digest_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class SkippedProblem:
    """A file of a directory suite that is no usable problem, and why (one line that names the file)."""

    path: Path
    reason: str


def read_problem(path: Path) -> str:
    """The text of a problem file; raises UserError when there is none to read."""
    try:
        return path.read_text(encoding="utf-8-sig")  # as Python reads it, with or without a byte-order mark
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a directory; use dir:{path}") from None
    except UnicodeDecodeError as e:
        raise UserError(f"{path}: not UTF-8 text (byte {e.start}); save it as UTF-8") from None
    except OSError as e:
        raise UserError(f"{path}: cannot be read: {e.strerror}") from None


def build_task(
    text: str, *, task_id: str, suite: str, where: Path, scale: int = 1, metadata: Mapping[str, Any] | None = None
) -> Task:
    """A Task of this source at this scale.

    `where` is named in errors. Raises UserError when the text does not parse, lacks `Model` (with a `forward`)
    or `get_inputs`, or must be scaled and has no `SCALE = 1` line.
    """
    tree = parse_problem(text, where)
    _check_outline(tree, where)
    source = rescale(text, scale, where=where, tree=tree)
    doc = ast.get_docstring(tree) or ""
    known: dict[str, Any] = {"description": doc.partition("\n")[0].strip(), "scale": scale}
    return Task(
        id=task_id, suite=suite, reference=source, digest=digest_text(source), metadata=known | dict(metadata or {})
    )


def check_scale(scale: int) -> None:
    """Raises UserError unless it is a whole number >= 1."""
    if isinstance(scale, bool) or not isinstance(scale, int) or scale < 1:
        raise UserError(f"scale must be a whole number of at least 1, not {scale!r}")


def rescale(text: str, scale: int, *, where: Path, tree: ast.Module | None = None) -> str:
    """The source with its top-level `SCALE = <int>` set to `scale`; at scale 1 the text as it is, line or no line."""
    check_scale(scale)
    if scale == 1:
        return text
    for node in (tree or parse_problem(text, where)).body:
        match node:
            case ast.Assign(targets=[ast.Name(id="SCALE")], value=ast.Constant(value=int()) as value):
                return _replace(text, value, str(scale))
    raise UserError(f"{where}: has no top-level line `SCALE = 1`, so scale {scale} does not apply; use scale 1")


def _replace(text: str, node: ast.Constant, new: str) -> str:
    # ast counts columns in UTF-8 bytes and splits lines as the tokenizer does: on \n, \r\n and \r only.
    lines = text.encode("utf-8").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    row = node.lineno - 1
    line = lines[row]
    lines[row] = line[: node.col_offset] + new.encode() + line[node.end_col_offset :]
    return b"\n".join(lines).decode("utf-8")


def parse_problem(text: str, where: Path) -> ast.Module:
    """The outline of a problem file. Raises UserError, with the line, for text that is no Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape in a docstring is the author's affair
            return ast.parse(text)
    except SyntaxError as e:
        raise UserError(f"{where}:{e.lineno or 1}: not valid Python: {e.msg}") from None
    except ValueError as e:  # a null byte, before Python 3.12
        raise UserError(f"{where}: not valid Python: {e}") from None
    except (RecursionError, MemoryError):
        raise UserError(f"{where}: not valid Python: nested too deeply") from None


def _check_outline(tree: ast.Module, where: Path) -> None:
    model = next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Model"), None)
    if model is None:
        raise UserError(f"{where}: has no class `Model`; a problem defines Model, get_inputs and get_init_inputs")
    plain = all(ast.unparse(base) in {"nn.Module", "torch.nn.Module", "Module"} for base in model.bases)
    if plain and not any(isinstance(n, ast.FunctionDef) and n.name == "forward" for n in model.body):
        raise UserError(f"{where}:{model.lineno}: class `Model` has no method `forward`")
    if not any(isinstance(n, ast.FunctionDef) and n.name == "get_inputs" for n in tree.body):
        raise UserError(f"{where}: has no function `get_inputs`; it returns the list of inputs of Model.forward")
