"""`longodds inspect RUN`: its tasks, programs and verdicts in the terminal; a browser where there is one to type in."""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longodds.cli.console import json_stdout, print_table, print_text, write_json
from longodds.errors import UserError

if TYPE_CHECKING:
    from longodds.report.view import RunView

KEYS = {
    b"\x1b[A": "up",
    b"\x1b[B": "down",
    b"\x1b[C": "right",
    b"\x1b[D": "left",
    b"\x1bOA": "up",
    b"\x1bOB": "down",
    b"\x1bOC": "right",
    b"\x1bOD": "left",
    b"\x1b[5~": "pageup",
    b"\x1b[6~": "pagedown",
    b"\x1b[H": "home",
    b"\x1b[F": "end",
    b"\x1b": "escape",
    b"\r": "enter",
    b"\n": "enter",
    b"\x7f": "backspace",
    b"\x08": "backspace",
}


def inspect(
    run: Path, task: str | None = None, program: str | None = None, *, plain: bool = False, json: bool = False
) -> None:
    """Look at a run: its tasks, the programs of a task, one program.

    In a terminal this is a browser (arrows or j k, enter, escape, / to filter, q to leave); otherwise a listing.

    Parameters
    ----------
    run
        A run directory.
    task
        Only this task: its id, or a part of it that no other has. Lists its programs, most surprising first.
    program
        Only this program of the task: its number in that list, or the beginning of its digest.
    plain
        A listing in a terminal too.
    json
        One JSON document on stdout.
    """
    from longodds.report.view import RunView
    from longodds.store import RunDir

    if program is not None and task is None:
        raise UserError(f"--program {program}: is a program of a task; name the task too")
    with json_stdout(json) as out:
        held = RunDir.open(run)
        view = RunView(str(run), held.samples(), held.tasks())
        task_id = None if task is None else view.find_task(task)
        row = None if program is None or task_id is None else view.find_program(task_id, program)
        if json:
            write_json(out, _document(view, held.config, task_id, row))
        elif task_id is None and not plain and sys.stdin.isatty() and sys.stdout.isatty():
            browse(view)
        else:
            _print(view, task_id, row)


def _document(view: RunView, config: dict[str, Any], task_id: str | None, row: dict[str, Any] | None) -> dict[str, Any]:
    from longodds.report.view import program_document

    tasks = view.tasks()
    if task_id is None:
        totals = {name: sum(t[name] for t in tasks) for name in ("samples", "judged", "correct", "timed")}
        return {"run": view.name, "config": config, "n_tasks": len(tasks), **totals, "tasks": tasks}
    one = next(t for t in tasks if t["task_id"] == task_id)
    if row is None:
        return {"run": view.name, **one, "list": [program_document(p) for p in view.programs(task_id)]}
    difference = [f"{kind}{line}" for kind, line in view.difference(task_id, row)]
    return {"run": view.name, "task_id": task_id, **program_document(row), "difference": difference}


def _print(view: RunView, task_id: str | None, row: dict[str, Any] | None) -> None:
    from longodds.report.walker import program_facts, program_table, task_table

    if task_id is None:
        tasks = view.tasks()
        judged = sum(t["judged"] for t in tasks)
        print_text(
            f"{view.name}: {len(tasks)} tasks, {sum(t['samples'] for t in tasks):,} samples, {judged:,} judged, "
            f"{sum(t['correct'] for t in tasks):,} correct"
        )
        print_table(task_table(tasks))
    elif row is None:
        print_text(f"{task_id}: distinct programs, most surprising first")
        print_table(program_table(view.programs(task_id)))
    else:
        print_text("\n".join([f"{task_id}: program {row['d']}", *program_facts(row), ""]))
        print_text("\n".join(f"{kind} {line}" for kind, line in view.difference(task_id, row)))


def browse(view: RunView) -> None:
    """The browser, on the whole screen of this terminal, until it is left."""
    import termios
    import tty

    from rich.console import Console
    from rich.live import Live

    from longodds.report.walker import Walker

    walker = Walker(view)
    console = Console(highlight=False)
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                live.update(walker.render(console.width, console.height), refresh=True)
                if not walker.press(read_key(descriptor)):
                    return
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def read_key(descriptor: int) -> str:
    """One key by name. An escape sequence arrives in one piece; an escape alone is followed by nothing."""
    data = os.read(descriptor, 1)
    if not data:
        return "q"  # the terminal is gone
    if data == b"\x1b":
        while len(data) < 6 and select.select([descriptor], [], [], 0.03)[0]:
            data += os.read(descriptor, 1)
            if data in KEYS or (data[-1:].isalpha() and data[-1:] != b"O") or data[-1:] == b"~":
                break
    elif data[0] >= 0xC0:
        data += os.read(descriptor, 3 if data[0] >= 0xF0 else 2 if data[0] >= 0xE0 else 1)
    return KEYS.get(data) or ("" if data[:1] == b"\x1b" else data.decode("utf-8", "replace"))
