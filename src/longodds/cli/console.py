"""What reaches the terminal: results on stdout, everything else on stderr, hostile text made harmless.

Programs, messages and file names may hold terminal escapes; nothing of theirs is printed without `clean`.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import unicodedata
from typing import TYPE_CHECKING, Any, TextIO

from longodds.errors import InfraError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console
    from rich.table import Table


def clean(text: str, *, lines: bool = False) -> str:
    r"""Text without a character that a terminal would obey: shown as `\x1b` and the like.

    Control and formatting characters (bidirectional overrides included), lone surrogates and odd line separators
    are escaped. lines: keep newlines and tabs; otherwise both become one space.
    """
    return "".join(_harmless(c, lines) for c in text)


def _harmless(c: str, lines: bool) -> str:
    if c in "\n\t":
        return c if lines else " "
    if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
        return c.encode("unicode_escape").decode("ascii")
    return c


def one_line(text: str) -> str:
    """Cleaned text on one line, runs of blanks closed up."""
    return " ".join(clean(text).split())


def error_line(text: str) -> None:
    """`longodds: error: ...` on stderr."""
    sys.stderr.write(f"longodds: error: {one_line(text)}\n")


def note_line(text: str) -> None:
    """A remark on stderr."""
    sys.stderr.write(f"longodds: {one_line(text)}\n")


def stderr_console() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def stdout_console(width: int | None = None) -> Console:
    """A console on stdout whose failures are ours: rich exits with 1 where the reader of a pipe has gone."""
    from rich.console import Console

    class Stdout(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

        def print(self, *objects: Any, **options: Any) -> None:
            with writing():
                super().print(*objects, **options)

    return Stdout(highlight=False, width=width)


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Around what writes to stdout. Raises InfraError where it takes no more; a reader that has gone is no error."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as e:
        drop_stdout()
        raise InfraError(f"stdout cannot be written: {e.strerror or e}; the results were not all printed") from None


def drop_stdout() -> None:
    """What still waits to be written to stdout goes nowhere; at exit it would fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def print_text(text: str) -> None:
    """Several lines of possibly hostile text on stdout."""
    with writing():
        sys.stdout.write(clean(text, lines=True).rstrip("\n") + "\n")


def print_table(table: Table) -> None:
    """On stdout, narrow: no borders, long names folded, columns with a least width whole.

    120 wide where no terminal says how wide it is.
    """
    table.box = None
    table.padding = (0, 1, 0, 0)
    table.pad_edge = False
    for column in table.columns:
        if column.min_width is None:
            column.no_wrap, column.overflow = False, "fold"
    console = stdout_console()
    if not console.is_terminal:
        console = stdout_console(width=120)
    console.print(table)


def make_table(title: str | None, columns: Sequence[str], rows: Sequence[Sequence[str]], right: str = "") -> Table:
    """A table of plain text. right: one character per column, `r` for those aligned right."""
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=None if title is None else Text(one_line(title)),
        title_justify="left",
        show_header=any(columns),
    )
    for i, name in enumerate(columns):
        table.add_column(name, justify="right" if right[i : i + 1] == "r" else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(clean(cell, lines=True)) for cell in row))
    return table


@contextlib.contextmanager
def json_stdout(wanted: bool) -> Iterator[TextIO]:
    """Where the one JSON document goes. Until it is written, whatever else prints to stdout lands on stderr.

    Held at the level of descriptors, so that libraries and child processes are covered too.
    """
    if not wanted:
        yield sys.stdout
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        out = os.fdopen(os.dup(kept), "w", encoding="utf-8")
        try:
            yield out
        finally:
            with writing():
                out.close()
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


@contextlib.contextmanager
def counted(what: str) -> Iterator[Callable[[int], None]]:
    """A line on stderr that says how many of `what` are done, where stderr is a terminal."""
    console = stderr_console()
    with console.status(f"{what} ...") as status:
        yield lambda n: status.update(f"{what} ... {n:,}")


@contextlib.contextmanager
def bar(what: str) -> Iterator[Callable[[str, int, int], None] | None]:
    """A bar on stderr that is told (of which part, done, total); None where stderr is no terminal: even an empty bar
    leaves a blank line there."""
    from rich.progress import Progress

    console = stderr_console()
    if not console.is_terminal:
        yield None
        return
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(what, total=None)

        def told(part: str, done: int, of: int) -> None:
            progress.update(task, description=f"{what}, {part}", completed=done, total=of)

        yield told


def write_json(out: TextIO, document: Any) -> None:
    """One document on one line; ASCII, so that no terminal escape gets through."""
    with writing():
        out.write(json.dumps(document, ensure_ascii=True, allow_nan=False) + "\n")


def number(value: float | None, digits: int = 3) -> str:
    """A figure for a table; a dash for none."""
    return "-" if value is None else f"{value:.{digits}g}"
