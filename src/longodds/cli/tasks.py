"""`longodds tasks list|show|validate`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from longodds.cli.console import json_stdout, make_table, note_line, print_table, print_text, write_json

if TYPE_CHECKING:
    from longodds.types import Task


def list_tasks(suite: str, /, *, json: bool = False) -> None:
    """List the tasks of a suite.

    Parameters
    ----------
    suite
        cpu, dir:PATH or file:PATH.py.
    json
        One JSON document on stdout.
    """
    from longodds.tasks import load_suite

    with json_stdout(json) as out:
        tasks = load_suite(suite, on_skip=lambda problem: note_line(f"skipped {problem.reason}"))
        if json:
            write_json(out, {"suite": suite, "n_tasks": len(tasks), "tasks": [_summary(t) for t in tasks]})
            return
        rows = [(t.id, *(str(t.metadata.get(key, "")) for key in ("family", "split", "description"))) for t in tasks]
        print_table(make_table(None, ["task", "family", "split", "description"], rows))
        splits = Counter(str(t.metadata["split"]) for t in tasks if "split" in t.metadata)
        parts = ", ".join(f"{n} {name}" for name, n in sorted(splits.items()))
        print_text(f"\n{len(tasks)} tasks{f' ({parts})' if parts else ''}")


def show_task(task: str, /, *, json: bool = False) -> None:
    """Show one task: what is known about it and its source.

    Parameters
    ----------
    task
        A task id (cpu/softmax_rows, dir:PATH/NAME, file:PATH.py).
    json
        One JSON document on stdout.
    """
    from longodds.tasks import load_task

    with json_stdout(json) as out:
        found = load_task(task)
        if json:
            write_json(out, {**_summary(found), "suite": found.suite, "reference": found.reference})
            return
        print_text("\n".join(f"# {k}: {v}" for k, v in {"task": found.id, **found.metadata}.items()))
        print_text("\n" + found.reference)


def _summary(task: Task) -> dict[str, Any]:
    return {"task_id": task.id, "digest": task.digest, "metadata": dict(task.metadata)}
