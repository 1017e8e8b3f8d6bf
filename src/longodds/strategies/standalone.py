"""A program with a check that anyone can run: one file that needs torch alone and longodds not at all."""

from __future__ import annotations

import ast
import inspect
import os
from pathlib import Path

from longodds.errors import InfraError, UserError
from longodds.programs import parse_source
from longodds.strategies import standalone_check

MARK = "# Written by `longodds optimize`"


def check_out(path: Path, *, named: bool = True) -> None:
    """Raises UserError where `path` cannot be written, or holds something that is not an earlier winner.

    named: by --out; else it is the usual place in a run directory, which is made later.
    """
    where = f"--out {path}" if named else f"{path}"
    try:
        if path.is_dir():
            raise UserError(f"{where}: is a directory; name a file")
        if path.exists() and not path.is_file():
            raise UserError(f"{where}: is no regular file; name another")
        if path.exists() and not is_own(path):
            other = "name another file" if named else "name another file with --out"
            raise UserError(f"{where}: exists and is not of longodds' making; {other}, or remove it")
        if not path.parent.is_dir():
            if named:
                raise UserError(f"{where}: there is no directory {path.parent}")
            return
        _try_to_write(path)
    except OSError as e:
        raise UserError(f"{where}: cannot be written: {e.strerror}; name another file with --out") from None


def _try_to_write(path: Path) -> None:
    """Leaves everything as it was. Raises OSError."""
    if path.exists():
        with path.open("a"):
            pass
    beside = _beside(path)
    beside.touch()
    beside.unlink()


def _beside(path: Path) -> Path:
    real = path.resolve()
    return real.with_name(f".{real.name}.{os.getpid()}.tmp")


def is_own(path: Path) -> bool:
    """Whether a file is a winner that was written before, or empty: then nothing is lost."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(len(MARK)) in (MARK, "")
    except OSError:
        return False


def write_out(path: Path, text: str) -> None:
    """Whole, or not at all. Raises InfraError where that is no longer possible: the run is kept, and the same command
    writes it again."""
    beside = _beside(path)
    try:
        try:
            beside.write_text(text, encoding="utf-8")
            beside.replace(path.resolve())
        finally:
            beside.unlink(missing_ok=True)
    except OSError as e:
        raise InfraError(
            f"{path}: cannot be written: {e.strerror}; what was done is kept, and the same command tries it again"
        ) from None


def standalone(program: str, original: str, *, about: list[str], device: str) -> str:
    """The text of the file. about: lines of its head; device: where it is checked unless told otherwise."""
    check = _plain(inspect.getsource(standalone_check))
    head = "\n".join([f"{MARK}: {about[0]}", *(f"# {line}" for line in about[1:])])
    return (
        f"{head}\n\n{_without_main(program).strip()}\n\n\n"
        f"# --- the original, and a check against it: python THIS_FILE "
        f"-------------------------------------------------\n\n_ORIGINAL = {_literal(original)}\n\n\n{check}\n\n\n"
        f'if __name__ == "__main__":\n    raise SystemExit(_check(globals(), _ORIGINAL, {device!r}))\n'
    )


def _plain(template: str) -> str:
    """The functions of the template without annotations, which would need imports where the program has none."""
    text = template[template.index("def _load_original") :]
    tree = ast.parse(text)
    lines = text.encode().split(b"\n")
    edits: list[tuple[int, int, int]] = []  # line, from, to
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and node.annotation is not None:
            a = node.annotation
            edits.append((node.lineno, node.col_offset + len(node.arg), a.end_col_offset or 0))
        elif isinstance(node, ast.FunctionDef) and node.returns is not None:
            line, end = node.returns.lineno, node.returns.end_col_offset or 0
            start = lines[line - 1].rindex(b" -> ", 0, end)
            edits.append((line, start, end))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            edits.append((node.lineno, node.target.end_col_offset or 0, node.annotation.end_col_offset or 0))
    for line, start, end in sorted(edits, reverse=True):
        lines[line - 1] = lines[line - 1][:start] + lines[line - 1][end:]
    return b"\n".join(lines).decode().strip("\n")


def _without_main(program: str) -> str:
    """The program without what it does when it is run: the check is what this file does then."""
    tree = parse_source(program)
    lines = program.splitlines()
    for node in reversed(tree.body if tree is not None else []):
        if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            del lines[node.lineno - 1 : node.end_lineno]
    return "\n".join(lines)


def _literal(text: str) -> str:
    """Text as a literal that people can read, where its characters allow."""
    for quote in ("'''", '"""'):
        if quote not in text and "\\" not in text:
            readable = f"{quote}{text}{quote}"
            try:
                if ast.literal_eval(readable) == text:
                    return readable
            except (SyntaxError, ValueError):
                continue
    return repr(text)
