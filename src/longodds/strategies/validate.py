"""Are the tasks of a suite fit to judge by? The evaluator's own check, over many tasks, with their gold programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from longodds.config import TaskSettings
from longodds.environment import read_environment
from longodds.errors import UserError
from longodds.evaluator import EvaluatorSettings, TaskReport, open_evaluator, validate_task
from longodds.strategies.opening import need_torch
from longodds.strategies.planning import choose_tasks
from longodds.tasks import task_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def validate_suite(
    settings: TaskSettings,
    *,
    golds: Path | None = None,
    timed: bool = True,
    device: str = "cpu",
    note: Callable[[str], None] | None = None,
) -> Iterator[tuple[int, TaskReport]]:
    """Yields (tasks in total, report) as each task has been checked.

    golds: directory with `NAME.py` for those tasks that have a program known to be right and, if `timed`, faster.
    note: is told of files of a suite that are no problems.
    Raises UserError for tasks that settings cannot name and for a directory that is not there.
    """
    need_torch()
    tasks = choose_tasks(settings, note=note)
    sources = read_golds(golds) if golds is not None else {}
    with open_evaluator(EvaluatorSettings(device=device, max_pairs=read_environment().max_pairs)) as evaluator:
        for task in tasks:
            yield len(tasks), validate_task(evaluator, task, sources.get(task_name(task)), timed=timed)


def read_golds(directory: Path) -> dict[str, str]:
    """Task name -> source of its gold program. Raises UserError when there is no such directory."""
    if not directory.is_dir():
        raise UserError(f"--golds {directory}: no such directory")
    try:
        return {p.stem: p.read_text(encoding="utf-8-sig") for p in sorted(directory.glob("*.py"))}
    except (OSError, UnicodeDecodeError) as e:
        raise UserError(f"--golds {directory}: cannot be read: {e}") from None
